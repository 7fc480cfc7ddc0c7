"""Registries: a decorated class becomes a frozen, validated config with a name.

``@sampler("zigzag")`` turns a class with annotated fields into a pydantic dataclass: its
constructor is the schema, the repr, the command-line help and the saved JSON.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast, dataclass_transform

from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass as validated
from pydantic_core import CoreSchema, core_schema

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.core.options import option_errors

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
PLUGINS = "graphrec_pt.plugins"
LIBRARY = "graphrec_pt."
FAMILY_IN_SCHEMA = "x-family"
"""Key of a JSON schema that stands for any member of a family; see ``recipe/json_schema.py``."""
_TRUSTED: ContextVar[bool] = ContextVar("trust_code", default=False)


@contextmanager
def trusting(code: bool = True) -> Iterator[None]:
    """Allow configs that are built inside the block to name code outside the library, which is run.

    This applies to nested configs too. ``trusting(False)`` changes nothing.
    """
    before = _TRUSTED.set(code or _TRUSTED.get())
    try:
        yield
    finally:
        _TRUSTED.reset(before)


def name_of(member: object) -> str:
    """Return the name under which the class of a component is registered."""
    cls: type[object] = type(member)
    return str(getattr(cls, "registered_name", cls.__name__))


def changed(member: T, **options: object) -> T:
    """Return the same component with some options changed, which are validated."""
    made: T = replace(cast(Any, member), **options)
    return made


def config_of(member: object) -> dict[str, Any]:
    """Return the JSON-ready config that :meth:`Registry.build` turns back into a component."""
    name = getattr(type(member), "registered_path", name_of(member))
    return {"name": name, **TypeAdapter(type(member)).dump_python(member, mode="json")}


@dataclass_transform(frozen_default=True)
class Registry(Generic[T]):
    """The registry of one family of components: config name → class.

    A registry also annotates config fields: a field of type ``Annotated[Sampler, sampler]`` accepts
    a name, a config or an object, holds the object, and is saved as its :func:`config_of`. Each
    family names that type, for example ``SamplerField``.

    Args:
        family: Name of the family in errors and in the saved JSON, e.g. ``"sampler"``.

    Example:
        >>> shape = Registry("shape")
        >>> @shape("square")
        ... class Square:
        ...     side: float = 1.0
        >>> shape.build({"name": "square", "side": 2})
        Square(side=2.0)
        >>> config_of(shape.build("square"))
        {'name': 'square', 'side': 1.0}
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._members: dict[str, type[T]] = {}
        self._plugins_read = False

    def __call__(self, name: str) -> Callable[[C], C]:
        """Return the decorator that registers a class under `name`."""

        def register(cls: C) -> C:
            known = self._members.get(name)
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise GraphRecError(
                    f"@{self.family}", "a name that is not taken", repr(name), "another name"
                )
            config: Any = validated(frozen=True, config=_CONFIG)(cls)
            config.registered_name = name
            self._members[name] = config
            return cast(C, config)

        return register

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        return sorted(self._members)

    def get(self, name: str) -> type[T]:
        """Return the class registered as `name`, or, where code is trusted, at a dotted path.

        Raises:
            GraphRecError: When the name is unknown, or names code that was not trusted.
        """
        if name in self._members:
            return self._members[name]
        trust_code = _TRUSTED.get()
        if trust_code:
            self._read_plugins()
            if name in self._members:
                return self._members[name]
        if "." in name or ":" in name:
            if not trust_code:
                raise GraphRecError(
                    self.family,
                    "a registered name",
                    f"the dotted path {name!r}, which would run code",
                    "trust_code=True (--trust-code) if you know who wrote it",
                )
            return self._import(name)
        hint = did_you_mean(name, self._members)
        if not trust_code and entry_points(group=PLUGINS):
            hint += ", or trust_code=True (--trust-code) if a plug-in has it"
        raise GraphRecError(self.family, "a known name", repr(name), hint)

    def build(self, config: str | Mapping[str, object] | T) -> T:
        """Return the member that a config describes.

        Dotted paths and installed plug-ins are allowed inside :func:`trusting`.

        Args:
            config: A name, ``{"name": …, option: value}``, or a ready object (returned as it is).

        Raises:
            GraphRecError: For an unknown name; all unknown or ill-typed options at once.
        """
        if isinstance(config, str):
            config = {"name": config}
        if config is None or isinstance(config, int | float | list | tuple | type):
            raise GraphRecError(
                self.family,
                "a name, a mapping or a ready object",
                repr(config),
                f"one of {self.names()}",
            )
        if not isinstance(config, Mapping):
            return config
        options = dict(config)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise GraphRecError(self.family, "a 'name'", dict(config), f"one of {self.names()}")
        cls = self.get(name)
        try:
            return TypeAdapter(cls).validate_python(options)
        except ValidationError as error:
            raise_all(option_errors(f"{self.family} {name!r}", error, cls))
            raise

    def config(self, member: T) -> dict[str, Any]:
        """Return :func:`config_of` a member."""
        return config_of(member)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return how a field builds and saves a member; pydantic asks for it."""
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(config_of)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return a placeholder for any member, which is filled when all families are loaded."""
        return {FAMILY_IN_SCHEMA: self.family}

    def _import(self, path: str) -> type[T]:
        module, _, attribute = path.replace(":", ".").rpartition(".")
        try:
            member: type[T] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise GraphRecError(
                self.family, "an importable dotted path", repr(path), f"checking it ({error})"
            ) from error
        if "registered_name" not in vars(member):  # that of a base class does not count
            member = self(path)(member)
        if not member.__module__.startswith(LIBRARY):
            # Saved under its path from now on, where another process finds it too.
            cast(Any, member).registered_path = path
        self._members[path] = member
        return member

    def load_plugins(self) -> None:
        """Register what installed plug-ins have, where code is trusted; else do nothing."""
        if _TRUSTED.get():
            self._read_plugins()

    def _read_plugins(self) -> None:
        if not self._plugins_read:
            self._plugins_read = True
            for point in entry_points(group=PLUGINS):
                point.load()
