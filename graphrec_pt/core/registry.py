"""Registries: a decorated class becomes a frozen, validated config with a name.

``@sampler("zigzag")`` turns a class with annotated fields into a pydantic dataclass: its
constructor is the schema, the repr, the command-line help and the saved JSON.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.core.options import option_errors

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
PLUGINS = "graphrec_pt.plugins"
_TRUSTED: ContextVar[bool] = ContextVar("trust_code", default=False)


@contextmanager
def trusting(code: bool = True) -> Iterator[None]:
    """Let whatever is built inside the block name code outside the library, which is then run.

    The same as ``trust_code=True`` in every :meth:`Registry.build` of the block, those inside
    configs of configs too.
    """
    before = _TRUSTED.set(code or _TRUSTED.get())
    try:
        yield
    finally:
        _TRUSTED.reset(before)


@dataclass_transform(frozen_default=True)
class Registry(Generic[T]):
    """Names the members of one family of components.

    Args:
        family: What a member is called in errors and in the saved JSON, e.g. ``"sampler"``.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._members: dict[str, type[T]] = {}
        self._paths: dict[type[T], str] = {}
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

    def get(self, name: str, *, trust_code: bool = False) -> type[T]:
        """Return the class registered as `name`, or the class at a trusted dotted path.

        Raises:
            GraphRecError: When the name is unknown, or names code that was not trusted.
        """
        if name in self._members:
            return self._members[name]
        trust_code = trust_code or _TRUSTED.get()
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

    def build(self, config: str | Mapping[str, Any] | T, *, trust_code: bool = False) -> T:
        """Return the member that a config describes.

        Args:
            config: A name, ``{"name": …, option: value}``, or a ready object (returned as it is).
            trust_code: Allow dotted paths and installed plug-ins.

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
        cls = self.get(name, trust_code=trust_code)
        try:
            return TypeAdapter(cls).validate_python(options)
        except ValidationError as error:
            raise_all(option_errors(f"{self.family} {name!r}", error, cls))
            raise

    def config(self, member: T) -> dict[str, Any]:
        """Return the JSON-ready config that :meth:`build` turns back into `member`."""
        dumped = TypeAdapter(type(member)).dump_python(member, mode="json")
        name = getattr(type(member), "registered_name", type(member).__name__)
        return {"name": self._paths.get(type(member), name), **dumped}

    def _import(self, path: str) -> type[T]:
        module, _, attribute = path.replace(":", ".").rpartition(".")
        try:
            found: type[T] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise GraphRecError(
                self.family, "an importable dotted path", repr(path), f"checking it ({error})"
            ) from error
        if not is_dataclass(found):
            found = self(path)(found)
        # Known by its path from now on: what is saved must be found by another process too.
        self._paths[found] = path
        self._members[path] = found
        return found

    def _read_plugins(self) -> None:
        if not self._plugins_read:
            self._plugins_read = True
            for point in entry_points(group=PLUGINS):
                point.load()
