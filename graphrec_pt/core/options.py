"""Validation errors of pydantic as errors of the library: who – expected – got – try."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, did_you_mean

LIST, MAPPING = "a list", "options and their values"
SHAPES = {
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), LIST),
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type", "mapping_type"), MAPPING),
}
"""YAML names of Python's container types, by pydantic's name of the error."""


def option_errors(who: str, error: ValidationError, cls: type[Any]) -> list[GraphRecError]:
    """Translate a validation error of pydantic into one error per option.

    Args:
        who: The configured thing, e.g. a card's file name.
        error: The error of pydantic.
        cls: The registered class or pydantic model that was validated.
    """
    errors: list[GraphRecError] = []
    items = error.errors(include_url=False)
    for item in items:
        if item["type"] == "too_short" and any(_inside(item["loc"], o["loc"]) for o in items):
            continue  # too short only because of the errors inside it
        where = [str(part) for part in item["loc"] if part != "__root__"]
        option, cause = ".".join(where), item.get("ctx", {}).get("error")
        if isinstance(cause, GraphRecError):
            causes = cause.errors if isinstance(cause, ConfigErrors) else (cause,)
            errors += [_at(where, fault, cls) for fault in causes]
        elif item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            known = sorted(_options_at(cls, where[:-1]))
            errors.append(
                GraphRecError(who, "a known option", repr(option), did_you_mean(where[-1], known))
            )
        elif item["type"] in ("missing", "missing_argument"):
            errors.append(GraphRecError(who, f"the option {option!r}", "nothing"))
        else:
            message = item["msg"][0].lower() + item["msg"][1:]
            message = SHAPES.get(item["type"], message.removeprefix("input should be "))
            one = message == LIST and isinstance(item["input"], str | int | float)
            hint = f"[{item['input']}]" if one else ""
            who_option = f"{who} {option}".strip()
            errors.append(GraphRecError(who_option, message, repr(item["input"]), hint))
    return errors


def _at(where: list[str], error: GraphRecError, cls: type[Any]) -> GraphRecError:
    """Return an error whose `who` begins with its dotted path, such as ``stages.0.sampler``."""
    if not where:
        return error
    place, who = ".".join(where), error.who
    name = next((part for part in reversed(where) if not part.isdigit()), "")
    if who == name or who.startswith(f"{name}."):
        who = place + who.removeprefix(name)
    else:  # the error of the stage at stages.0 need not say that it is one of a stage
        head, _, rest = who.partition(" ")
        who = rest if head in (name, name.removesuffix("s")) else who
        inner = who.split(" ")[0].split(".")[0]
        who = f"{place}.{who}" if inner in _options_at(cls, where) else f"{place} {who}".strip()
    return GraphRecError(who, error.expected, error.got, error.hint)


def _inside(outer: tuple[int | str, ...], inner: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def option_names(cls: type[Any]) -> list[str]:
    """Return the option names that a registered class or pydantic model accepts."""
    if issubclass(cls, BaseModel):
        return list(cls.model_fields)
    return [field.name for field in fields(cls)] if is_dataclass(cls) else []


def _options_at(cls: type[Any], where: list[str]) -> set[str]:
    """Return the option names of the models that are valid at a path inside a model."""
    models = {cls}
    for part in where:
        deeper = {
            model
            for outer in models
            if part in option_names(outer)
            for model in _models_in(get_type_hints(outer)[part])
        }
        models = deeper or models  # a key of a mapping or an index leads no deeper
    return {name for model in models for name in option_names(model)}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
