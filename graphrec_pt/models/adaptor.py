"""The adaptor family, and the bottleneck: small nets inside a backbone that may be frozen."""

from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from itertools import chain
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.features.seeded import derive_seed, seeded
from graphrec_pt.features.vector import Experts
from graphrec_pt.models.host import Host

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
        """Put a bottleneck behind each matching linear map.

        Raises:
            GraphRecError: For globs that match no linear map.
        """
        for name, host, width in _maps(model.backbone, self.places or BRANCHES):
            made = seeded(partial(BottleneckNet, width, self.inner), derive_seed(seed, name))
            add_output_adapter(host, ADAPTOR, made)


class BottleneckNet(nn.Module):
    """Down projection, GELU, up projection, and a residual connection.

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
    linear_maps = [(name, module, width) for name, (module, width) in named.items() if width]
    if not linear_maps:
        maps = [name for name, module in backbone.named_modules() if _outputs(module)]
        hint = "places: such as " + ", ".join(maps[:3]) if maps else "another backbone"
        raise GraphRecError("adaptor", "linear maps at its places", "none", hint)
    return linear_maps


def _outputs(module: nn.Module) -> int:
    """Return the width that a linear map returns, 0 for other modules."""
    if isinstance(module, nn.Linear):
        return module.out_features
    return int(getattr(module, "nf", 0))  # the transposed linear map of GPT-2


def add_output_adapter(host: nn.Module, name: str, part: nn.Module) -> None:
    """Pass the output of a module through a part, which becomes its child.

    The weights of the module keep their names, so that saved ones still fit.

    Args:
        host: Any module that returns a tensor.
        name: Name of the child.
        part: From and to tensors of the shape that `host` returns.
    """
    host.add_module(name, part.to(device_of(host)))
    host.register_forward_hook(partial(_through, name=name))


def device_of(network: nn.Module) -> torch.device:
    """Return where the weights or buffers of a network are."""
    some = next(chain[Tensor](network.parameters(), network.buffers()), None)
    return torch.device("cpu") if some is None else some.device


def _through(host: nn.Module, given: Any, made: Tensor, *, name: str) -> Tensor:
    out: Tensor = host.get_submodule(name)(made)
    return out.to(made.dtype)


@adaptor("lora")
class LoRA:
    """Low-rank changes of attention maps: ``W x + (α / r) B A x`` (Hu et al., ICLR 2022).

    Args:
        rank: r.
        alpha: α.
        dropout: Dropout of x, in training.
        targets: Names of the maps, such as ``query``; peft's choice for the model by default.
    """

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = None

    def attach(self, model: Host, seed: int) -> None:
        """Put the changes into the Hugging Face model; B is 0 at first, so nothing changes yet.

        Raises:
            GraphRecError: For another backbone, without peft, and for maps that there are not.
        """
        network: Any = getattr(model.backbone, "model", None)
        if network is None or not hasattr(network, "config"):
            got = type(model.backbone).__name__
            hint = "the adaptor bottleneck"
            raise GraphRecError("adaptor 'lora'", "the backbone hugging_face", got, hint)
        try:
            peft = import_module("peft")
        except ImportError as error:
            hint = "pip install peft"
            raise GraphRecError("adaptor 'lora'", "peft", "not installed", hint) from error
        options: dict[str, Any] = (
            {} if self.targets is None else {"target_modules": list(self.targets)}
        )
        # GPT-2 keeps its linear maps transposed; peft wants to know.
        options["fan_in_fan_out"] = any(hasattr(each, "nf") for each in network.modules())
        config = peft.LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, **options
        )
        trainable = {name: p.requires_grad for name, p in network.named_parameters()}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            try:
                peft.inject_adapter_in_model(config, network, adapter_name=ADAPTOR)
            except ValueError as error:
                reason = str(error).splitlines()[0]
                raise GraphRecError(
                    "adaptor 'lora'", "maps to adapt", reason, "targets: …"
                ) from error
        # peft freezes the rest; here the strategy says what trains.
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(trainable.get(name.replace(".base_layer", ""), True))


@adaptor("moe")
class MixtureOfExperts:
    """Gated whitenings added to the vectors of nodes: ``x + Σ_k g_k (x − b_k) W_k``.

    The adaptor of UniSRec (Hou et al., KDD 2022) behind whatever features a type has. There it
    *is* the map from text vectors, trained from the start: that is ``projection: experts`` of the
    featurizers, which ``trains: [model.features.*]`` tunes. Here it comes later, so it adds.

    Args:
        types: Node types whose vectors are adapted; all by default.
    """

    types: tuple[str, ...] | None = None

    def attach(self, model: Host, seed: int) -> None:
        """Give every type its experts."""
        for name in self.types or model.spec.node_names:
            model.spec.node_index(name)
            host = model.features.of_type.get_submodule(f"of_{name}")
            add_output_adapter(
                host, ADAPTOR, seeded(lambda: AddedExperts(model.width), derive_seed(seed, name))
            )


class AddedExperts(nn.Module):
    """Experts with a residual connection.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.experts = Experts(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, D]`` for ``[n, D]``."""
        out: Tensor = x + self.experts(x)
        return out
