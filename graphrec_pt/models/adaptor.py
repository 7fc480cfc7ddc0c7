"""The adaptor family, and the bottleneck: small nets inside a backbone that may be frozen."""

from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Protocol

from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.features.seeded import apart, seeded
from graphrec_pt.models.host import Host
from graphrec_pt.models.insert import insert

ADAPTOR = "adaptor"
"""Name of every module that an adaptor puts into a model: ``*.adaptor.*`` finds its weights."""

BRANCHES = (
    "layers.*.out",  # graph transformer
    "layers.*.down",
    "model.*.output.dense",  # BERT and its kin
    "model.*.attn.c_proj",  # GPT-2
    "model.*.mlp.c_proj",
    "model.*.self_attn.o_proj",  # Llama and its kin
    "model.*.mlp.down_proj",
    "model.*.SelfAttention.o",  # T5
    "model.*.EncDecAttention.o",
    "model.*.DenseReluDense.wo",
)
"""Last maps of attention and feed-forward branches, by the names of the backbones we know."""


class Adaptor(Protocol):
    """A frozen config of an adaptor, so that it can be named in a recipe."""

    def attach(self, model: Host, seed: int) -> None:
        """Put the adaptor into a model, in modules named :data:`ADAPTOR`.

        Its first weights are a function of the model's config and the seed.

        Raises:
            GraphRecError: When the model has no place for it.
        """
        ...


adaptor: Registry[Adaptor] = Registry("adaptor")
"""``@adaptor("name")`` makes a class usable as an adaptor."""

AdaptorField = Annotated[Adaptor, adaptor]
"""Type of a config field that holds an adaptor."""


@adaptor("bottleneck")
class Bottleneck:
    """A net at the end of every attention and feed-forward branch: ``x + W↑ GELU(W↓ x)``.

    Houlsby et al., "Parameter-efficient transfer learning for NLP", ICML 2019; the model patch of
    PeterRec (Yuan et al., SIGIR 2020) with one group, in series. It starts close to the identity.

    Args:
        inner: Width of the bottleneck.
        places: Globs of linear maps of the backbone, in place of the ends of its branches.
    """

    inner: int = Field(16, ge=1)
    places: tuple[str, ...] | None = None

    def attach(self, model: Host, seed: int) -> None:
        """Put a net behind each place.

        Raises:
            GraphRecError: For globs that match no linear map.
        """
        for name, host, width in _maps(model.backbone, self.places or BRANCHES):
            made = seeded(partial(BottleneckNet, width, self.inner), apart(seed, name))
            insert(host, ADAPTOR, made)


class BottleneckNet(nn.Module):
    """Down, GELU, up, and past it all.

    Args:
        width: D.
        inner: Width of the bottleneck.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.activation = nn.Linear(width, inner), nn.GELU()
        self.up = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[…, D]`` for ``[…, D]``."""
        out: Tensor = x + self.up(self.activation(self.down(x)))
        return out


def _maps(backbone: nn.Module, places: tuple[str, ...]) -> list[tuple[str, nn.Module, int]]:
    """Return name, module and width of the linear maps at some places."""
    named = {
        name: (module, _outputs(module))
        for name, module in backbone.named_modules()
        if any(fnmatchcase(name, place) for place in places)
    }
    found = [(name, module, width) for name, (module, width) in named.items() if width]
    if not found:
        maps = [name for name, module in backbone.named_modules() if _outputs(module)]
        hint = "places: such as " + ", ".join(maps[:3]) if maps else "another backbone"
        raise GraphRecError("adaptor", "linear maps at its places", "none", hint)
    return found


def _outputs(module: nn.Module) -> int:
    """Return the width that a linear map returns, 0 for other modules."""
    if isinstance(module, nn.Linear):
        return module.out_features
    return int(getattr(module, "nf", 0))  # the transposed linear map of GPT-2
