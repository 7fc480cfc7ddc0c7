"""Components as data: options with their types, defaults and meaning, read off a class."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from graphrec_pt.core.docstring import Docstring, parse_docstring
from graphrec_pt.core.registry import Registry, config_of

REQUIRED = "required"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
PLAIN = {
    "int": "whole number",
    "float": "number",
    "str": "text",
    "bool": "true or false",
    "NoneType": "nothing",
}


@dataclass(frozen=True)
class OptionDescription:
    """One option of a component.

    Args:
        name: As in a recipe.
        type: What values it takes, in words.
        default: As in a recipe; ``required`` where it has none.
        meaning: From the docstring.
        inner: Options under it, where it holds options itself.
    """

    name: str
    type: str
    default: str
    meaning: str
    inner: tuple["OptionDescription", ...] = ()


@dataclass(frozen=True)
class ComponentDescription:
    """A member of a family.

    Args:
        family: Such as ``sampler``.
        name: As in a recipe.
        address: Dotted path of its class.
        text: Its docstring.
        options: In the order of its class.
        methods: Name and docstring of each method; arguments, shapes and returns come from the
            family's interface where the member does not say them.
        facts: What its class says of itself beside options, such as the roots that it takes.
    """

    family: str
    name: str
    address: str
    text: Docstring
    options: tuple[OptionDescription, ...]
    methods: tuple[tuple[str, Docstring], ...]
    facts: tuple[tuple[str, str], ...] = ()


def describe_component(
    family: Registry[object], name: str, interface: type[object] = object
) -> ComponentDescription:
    """Return what is to be known of a member of a family.

    Args:
        family: Its registry.
        name: As it is registered.
        interface: The family's base class or protocol, whose docstrings give shapes.

    Raises:
        GraphRecError: For an unknown name.
    """
    cls = family.get(name)
    return ComponentDescription(
        family=family.family,
        name=name,
        address=f"{cls.__module__}.{cls.__qualname__}",
        text=docstring_of(cls),
        options=tuple(options_of(cls)),
        methods=tuple(_methods(cls, interface)),
        facts=tuple(_facts(cls)),
    )


def docstring_of(cls: type[object]) -> Docstring:
    """Return the docstring of a class, also where pydantic wrapped a dataclass in another class."""
    for each in cls.__mro__:
        text = vars(each).get("__doc__")
        if each.__name__ != cls.__name__:
            break
        if text and not text.startswith(f"{cls.__name__}("):  # what dataclasses write themselves
            return parse_docstring(text)
    return Docstring()


def options_of(cls: type[object]) -> Iterator[OptionDescription]:
    """Yield the options of a registered class, a pydantic model or a network's constructor."""
    meanings = meanings_of(cls)
    for name, (annotation, default) in _fields_of(cls).items():
        inner = tuple(each for model in _configs_in(annotation) for each in options_of(model))
        words, meaning = type_in_words(annotation), meanings.get(name, "")
        yield OptionDescription(name, words, default, meaning, inner)


def _configs_in(annotation: object) -> Iterator[type[object]]:
    """Yield the pydantic models and dataclasses in a type that stand for no family."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        if any(isinstance(each, Registry) for each in inner):
            return
        inner = inner[:1]
    if isinstance(annotation, type) and "__pydantic_fields__" in vars(annotation):
        yield annotation
    for each in inner:
        yield from _configs_in(each)


def meanings_of(cls: type[object]) -> dict[str, str]:
    """Return the meaning of each option, from the docstrings of a class and its bases."""
    meanings: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.startswith(("torch", "pydantic", "builtins", "typing")):
            continue
        meanings |= parse_docstring(vars(each).get("__doc__")).args
    return meanings


def _fields_of(cls: type[object]) -> dict[str, tuple[object, str]]:
    """Return the annotation and the default of every option."""
    found: dict[str, FieldInfo] = dict(getattr(cls, "__pydantic_fields__", {}))
    if found and (is_dataclass(cls) or issubclass(cls, BaseModel)):
        hints = get_type_hints(cls, include_extras=True)
        kept = {f.name for f in fields(cls) if f.init} if is_dataclass(cls) else set(found)
        return {
            name: (_constrained(hints[name], info), _default(info))
            for name, info in found.items()
            if name in kept
        }
    if found or is_dataclass(cls):
        return {}
    if cls.__init__ is object.__init__:
        return {}
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    hints = get_type_hints(cls.__init__, include_extras=True)
    return {
        p.name: (
            hints.get(p.name, object),
            REQUIRED if p.default is inspect.Parameter.empty else as_yaml(p.default),
        )
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _constrained(annotation: object, info: FieldInfo) -> object:
    bounds = [each for each in info.metadata if not isinstance(each, Registry)]
    if not bounds or get_origin(annotation) is Annotated:
        return annotation
    return Annotated[annotation, *bounds]


def _default(info: FieldInfo) -> str:
    if info.default_factory is not None:
        return as_yaml(info.get_default(call_default_factory=True, validated_data={}))
    return REQUIRED if info.default is PydanticUndefined else as_yaml(info.default)


def as_yaml(value: object) -> str:
    """Return a default as a recipe would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(as_yaml(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(each)}" for key, each in value.items()) + "}"
    if hasattr(type(value), "registered_name"):
        config = config_of(value)
        name = config.pop("name")
        return str(name) if not config else "{" + f"name: {name}, …" + "}"
    if isinstance(value, BaseModel) or is_dataclass(value):
        return f"the defaults of {type(value).__name__}"
    return str(value)


def type_in_words(annotation: object) -> str:
    """Return what values a type takes, in words.

    Example:
        >>> type_in_words(tuple[int, ...] | None)
        'list of whole numbers, or none'
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(inner[0], inner[1:])
    if origin in (Union, UnionType):
        words = [type_in_words(each) for each in inner if each is not NoneType]
        return " or ".join(words) + (", or none" if NoneType in inner else "")
    if origin is Literal:
        return " | ".join(as_yaml(each) for each in inner)
    if origin in (tuple, list, frozenset, set):
        parts = [each for each in inner if each is not Ellipsis]
        if Ellipsis in inner or origin is not tuple:
            return f"list of {_plural(type_in_words(parts[0]))}"
        return "[" + ", ".join(type_in_words(each) for each in parts) + "]"
    if origin is not None and inner and getattr(origin, "__name__", "") in ("dict", "Mapping"):
        return f"mapping of {type_in_words(inner[0])} to {type_in_words(inner[1])}"
    name = getattr(annotation, "__name__", str(annotation))
    return PLAIN.get(name, name)


def _annotated(of: object, metadata: tuple[object, ...]) -> str:
    for each in metadata:
        if isinstance(each, Registry):
            return each.family
    bounds = [
        f"{sign} {getattr(each, name):g}"
        for part in metadata
        for each in (getattr(part, "metadata", None) or [part])
        for name, sign in BOUNDS.items()
        if getattr(each, name, None) is not None
    ]
    words, none, _ = type_in_words(of).partition(", or none")
    return " ".join([words, *bounds]) + none


def _plural(words: str) -> str:
    nouns = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
    first = next((noun for noun in nouns if words == noun or words.startswith(f"{noun} ")), None)
    if first is not None:
        return nouns[first] + words.removeprefix(first)
    return words if words.startswith(("list", "[", "true")) or " | " in words else f"{words}s"


def _methods(cls: type[object], interface: type[object]) -> Iterator[tuple[str, Docstring]]:
    for name, value in vars(cls).items():
        if name.startswith("_") or not inspect.isfunction(value) or not value.__doc__:
            continue
        mine = parse_docstring(value.__doc__)
        general = parse_docstring(getattr(vars(interface).get(name), "__doc__", None))
        sections = {k: v for k, v in general.sections.items() if k == "Returns"} | mine.sections
        yield name, replace(mine, args=general.args | mine.args, sections=sections)


def _facts(cls: type[object]) -> Iterator[tuple[str, str]]:
    """Yield plain class variables, such as ``takes`` of a sampler or ``metrics`` of a task."""
    for name in ("takes", "metrics", "watch", "outcome", "of"):
        value = inspect.getattr_static(cls, name, None)
        if isinstance(value, str | tuple) and name not in getattr(cls, "__pydantic_fields__", {}):
            yield name, ", ".join(value) if isinstance(value, tuple) else value
