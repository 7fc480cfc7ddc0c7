"""JSON schemas of recipes and cards, with which an editor completes and checks them.

A field that holds a component becomes a choice (``oneOf``) among the members of its family, each
with its own options and their meaning.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from graphrec_pt.core.description import docstring_of, meanings_of
from graphrec_pt.core.docstring import parse_docstring
from graphrec_pt.core.registry import FAMILY_IN_SCHEMA, Registry
from graphrec_pt.data.card import Card
from graphrec_pt.recipe.families import FAMILIES
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.training.stage import BESIDE_IN_SCHEMA

DRAFT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = "#/$defs/{model}"
CODE = {"type": "string", "pattern": r"[.:]"}
"""A dotted path, or a name of a plug-in that has one; both need ``--trust-code``."""

Json = dict[str, Any]


def recipe_schema() -> Json:
    """Return the JSON schema of recipes, for every component that is registered now.

    Example:
        >>> schema = recipe_schema()
        >>> schema["properties"]["stages"]["type"]
        'array'
    """
    return _Schema().of(Recipe)


def card_schema() -> Json:
    """Return the JSON schema of cards."""
    return _Schema().of(Card)


class _Schema:
    """Collects the definitions that a schema refers to, families included."""

    def __init__(self) -> None:
        self.definitions: Json = {}

    def of(self, model: type[BaseModel]) -> Json:
        root = self._described(model, self._filled(model.model_json_schema()))
        return {"$schema": DRAFT, **root, "$defs": dict(sorted(self.definitions.items()))}

    def _filled(self, schema: Json) -> Json:
        """Return a schema of pydantic's with its definitions moved here and families in place."""
        for name, definition in schema.pop("$defs", {}).items():
            if name not in self.definitions:
                self.definitions[name] = {}  # it may refer to itself
                self.definitions[name] = self._documented(self._walked(definition))
        filled: Json = self._documented(self._walked(schema))
        return filled

    def _walked(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._walked(each) for each in value]
        if not isinstance(value, dict):
            return value
        if FAMILY_IN_SCHEMA in value:
            beside = value.get(BESIDE_IN_SCHEMA, {})
            name = self._family(value[FAMILY_IN_SCHEMA], beside)
            return {"$ref": DEFINITIONS.format(model=name), **_notes(value)}
        return {key: self._walked(each) for key, each in value.items()}

    def _family(self, family: str, beside: Mapping[str, Any]) -> str:
        """Define the choice among the members of a family; return the definition's name."""
        name = f"{family} with weight" if beside else family
        name = name.replace(" ", "_")
        if name not in self.definitions:
            self.definitions[name] = {}
            registry = FAMILIES[family].registry
            extra = self._walked(dict(beside))
            members = [self._member(registry, each, extra) for each in registry.names()]
            bare = [m["properties"]["name"]["const"] for m in members if m["required"] == ["name"]]
            elsewhere = {"type": "object", "properties": {"name": CODE}, "required": ["name"]}
            self.definitions[name] = {
                "description": f"{FAMILIES[family].sentence}.",
                "anyOf": [{"enum": bare}, {"oneOf": members}, CODE, elsewhere],
            }
        return name

    def _member(self, registry: Registry[object], name: str, beside: Json) -> Json:
        cls = registry.get(name)
        schema = self._described(cls, self._filled(TypeAdapter(cls).json_schema()))
        return {
            "type": "object",
            "title": name,
            "description": schema.get("description", ""),
            "properties": {"name": {"const": name}, **schema.get("properties", {}), **beside},
            "required": ["name", *schema.get("required", [])],
            "additionalProperties": False,
        }

    def _described(self, cls: type[object], schema: Json) -> Json:
        """Return a schema whose properties say what they mean, from the class's docstring."""
        meanings = meanings_of(cls)
        properties = {
            option: {**each, "description": meanings[option]} if option in meanings else each
            for option, each in schema.get("properties", {}).items()
        }
        described = docstring_of(cls)
        return {**schema, "properties": properties, "description": described.summary}

    def _documented(self, schema: Json) -> Json:
        """Return a definition whose docstring is split into its summary and its properties."""
        text = schema.get("description")
        if not isinstance(text, str) or "properties" not in schema:
            return schema
        parts = parse_docstring(text)
        properties = {
            option: {**each, "description": parts.args[option]} if option in parts.args else each
            for option, each in schema["properties"].items()
        }
        return {**schema, "properties": properties, "description": parts.summary}


def _notes(value: Json) -> Json:
    kept = ("description", "default", "title")
    return {key: each for key, each in value.items() if key in kept}
