"""The head family: networks of single objectives, which a model keeps and saves.

A head is a network, not the config of one: its options say how to make it again. What has to be
known of a graph or of a model's width is among them, so a saved head needs neither.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry

H = TypeVar("H", bound=type[Any])
LIBRARY = f"{__name__.partition('.')[0]}."
NONE, PARTS, LIST = "none", "parts", "list"
"""Names of ``nn.Identity``, ``nn.ModuleDict`` and ``nn.ModuleList`` in a saved config."""


class Head(nn.Module):
    """A network that can say how it was made; to be built with ``seeded``.

    Example:
        >>> @head("scale")
        ... class Scale(Head):
        ...     def __init__(self, width: int) -> None:
        ...         super().__init__()
        ...         self.factor = nn.Linear(width, width)
        ...
        ...     def options(self) -> dict[str, Any]:
        ...         return {"width": self.factor.in_features}
    """

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape; JSON can hold them."""
        raise GraphRecError(type(self).__name__, "a method options()", "none", "the arguments")


class HeadRegistry(Registry[nn.Module]):
    """Names the classes of heads; other registries name configs."""

    def __call__(self, name: str) -> Callable[[H], H]:
        """Return the decorator that registers a class under `name`."""

        def register(cls: H) -> H:
            known = self._members.get(name)
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise GraphRecError("@head", "a name that is not taken", repr(name), "another name")
            cls.registered_name = name
            self._members[name] = cls
            return cls

        return register


head = HeadRegistry("head")
"""``@head("name")`` makes a class of networks usable as a head that is saved with the model."""


def head_config(network: nn.Module) -> dict[str, Any]:
    """Return what :func:`build_head` makes a network of the same shape of; JSON can hold it.

    A class outside the library is named by its dotted path, so that another process finds it.

    Raises:
        GraphRecError: For a network that is neither a registered head nor made of them.
    """
    if isinstance(network, nn.ModuleDict):
        parts = {name: head_config(part) for name, part in network.items()}
        return {"name": PARTS, "parts": parts}
    if isinstance(network, nn.ModuleList):
        return {"name": LIST, "parts": [head_config(part) for part in network]}
    if isinstance(network, nn.Identity):
        return {"name": NONE}
    kind = type(network)
    name = getattr(kind, "registered_name", None)
    if not isinstance(network, Head) or name is None:
        hint = f"class {kind.__name__}(Head) under @head(NAME)"
        raise GraphRecError("head", "a registered head, which can be saved", kind.__name__, hint)
    if not kind.__module__.startswith(LIBRARY):
        name = f"{kind.__module__}.{kind.__qualname__}"
    return {"name": name, **network.options()}


def build_head(config: Mapping[str, Any]) -> nn.Module:
    """Return the network that a config describes; its weights are still to be filled.

    Args:
        config: What :func:`head_config` returned.

    Raises:
        GraphRecError: For unknown names, code that is not trusted, and options that do not fit.
    """
    options = dict(config)
    name = options.pop("name", None)
    if name == PARTS:
        return nn.ModuleDict({key: build_head(part) for key, part in options["parts"].items()})
    if name == LIST:
        return nn.ModuleList(build_head(part) for part in options["parts"])
    if name == NONE:
        return nn.Identity()
    if not isinstance(name, str):
        raise GraphRecError("head", "a config with a 'name'", dict(config))
    kind = head.get(name)
    try:
        return kind(**options)
    except TypeError as error:
        expected = "the options that it was saved with"
        raise GraphRecError(f"head {name!r}", expected, error) from error


@head("map")
class Map(Head, nn.Linear):
    """An affine map.

    Args:
        inputs: Numbers that go in.
        outputs: Numbers that come out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"inputs": self.in_features, "outputs": self.out_features}


@head("steps")
class Steps(Head, nn.Embedding):
    """One learned vector per step ahead.

    Args:
        steps: How many.
        width: D.
    """

    def __init__(self, steps: int, width: int) -> None:
        super().__init__(steps, width)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"steps": self.num_embeddings, "width": self.embedding_dim}


@head("projector")
class Projector(Head, nn.Sequential):
    """Two layers between hidden states and the contrastive loss (Chen et al., ICML 2020).

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.width = width

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.width}
