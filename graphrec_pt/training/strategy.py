"""The strategy family: how a stage adapts a model, as data for the one trainer, in eight rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import Registry, name_of
from graphrec_pt.features.identity import IdentityFeature
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.adaptor import AdaptorField
from graphrec_pt.models.model import Model
from graphrec_pt.models.prompts.family import PromptField
from graphrec_pt.models.view import View
from graphrec_pt.objectives.pooling import Pool, pooled
from graphrec_pt.sampling.sampler import SamplerField
from graphrec_pt.tokens.linearizer import Linearizer, LinearizerField

BLOCK = 1024
"""Nodes encoded at once."""


class NodeEncoding(Strict):
    """Encoding of the nodes of a type: ``x_v = norm · h_v / ‖h_v‖``.

    PMGT (Liu et al., ACM MM 2021) hands its pre-trained items over like this: each is sampled
    with its neighbours, encoded, and what was read off becomes the first vector of the item in the
    model that recommends.

    Args:
        node_type: Whose nodes; the type has an ``id`` feature, whose table is filled.
        sampler: Name or config, on roots of one node each.
        linearizer: Name or config; makes one sequence of each root.
        pool: Pooling of hidden states to the vector of a sequence.
        norm: Norm of every vector.
        seed: Seed of the draws of the sampler.
    """

    node_type: str
    sampler: SamplerField
    linearizer: LinearizerField
    pool: Pool = "roots"
    norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)


def encoded_nodes(model: Model, graph: Graph, chosen: NodeEncoding) -> Tensor:
    """Return the vectors of all nodes of the type: ``[V, D]``.

    Args:
        model: Trained, on any device; left in the mode that it is in.
        graph: The graph that may be seen, without held-out edges.
        chosen: How.

    Raises:
        GraphRecError: For a linearizer that makes more than one sequence of a root.
    """
    device = next(model.parameters()).device
    owned, vectors, linearizer = graph.nodes(chosen.node_type), [], chosen.linearizer
    if model.tokenizer is not None:
        linearizer = linearizer.with_words(model.tokenizer)
    with torch.no_grad(), _at_rest(model), model.cached_embeddings():
        for roots in torch.split(torch.arange(owned.start, owned.stop), BLOCK):
            key = Key(chosen.seed).named("encoding")
            tokens = linearizer.linearize(graph, chosen.sampler.sample(graph, roots, key), key)
            if len(tokens) != len(roots):
                got = f"{len(tokens)} of {len(roots)} nodes"
                raise GraphRecError(
                    "init_embeddings_from", "one sequence for each node", got, "join: true"
                )
            view = View(tokens, root=roots).to(device)
            vectors.append(pooled(model.encode(view), chosen.pool))
    if not vectors:
        return torch.zeros(0, model.width, device=device)
    return normalize(torch.cat(vectors), dim=-1) * chosen.norm


def begin_with(model: Model, graph: Graph, chosen: NodeEncoding) -> None:
    """Fill the id table of a type with the model's encodings of its nodes.

    Raises:
        GraphRecError: For a type without such a table.
    """
    parts = model.features.get_submodule(f"of_type.of_{chosen.node_type}.parts").children()
    tables = [part.table for part in parts if isinstance(part, IdentityFeature)]
    if not tables:
        hint = f"features: {{by_type: {{{chosen.node_type}: [{{name: id, zero: true}}]}}}}"
        who = f"init_embeddings_from {chosen.node_type!r}"
        raise GraphRecError(who, "an id feature to fill", "none", hint)
    vectors = encoded_nodes(model, graph, chosen)
    with torch.no_grad():
        tables[0].weight.copy_(vectors)


@contextmanager
def _at_rest(model: Model) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


Patterns = tuple[str, ...]


@validated(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Strategy:
    """The parameters that a stage trains, and the parts that it adds to the model.

    A registered strategy only sets other defaults of these fields, and a recipe may override
    each. Patterns are globs over the names of a
    :class:`~graphrec_pt.training.optimizer_loop.MultiTaskModule`: ``model.features.*``,
    ``model.embedding.*``, ``model.backbone.*``, ``heads.*``; ``*.prompt.*`` and ``*.adaptor.*``
    wherever these stand.

    Args:
        trains: Patterns of what trains; everything else stays as it is, to the bit. What was
            frozen before, such as a frozen encoder, stays so too.
        frozen: Patterns of exceptions.
        warmup_only: Patterns of what trains alone in a stage of its own before this one.
        prompt: Config of a soft prompt to attach.
        adaptor: Config of an adaptor to attach.
        head: Begin with a ``"new"`` head of each objective, or with the one ``"kept"`` in the
            model since it was last trained; a head that trains may be new where there is none.
        reinit: Patterns of weights of the model that start anew: what is not taken from the
            pre-trained one.
        init_embeddings_from: How nodes are encoded by the pre-trained model, before any `reinit`;
            they begin with these vectors. See :class:`~graphrec_pt.training.strategy.NodeEncoding`.
        requires_template: Whether the linearizer must write a template around what is asked.

    Example:
        >>> @strategy("only_heads")
        ... class OnlyHeads(Strategy):
        ...     trains: Patterns = ("heads.*",)
        >>> strategy.build("only_heads").trains
        ('heads.*',)
    """

    trains: Patterns = ("*",)
    frozen: Patterns = ()
    warmup_only: Patterns = ()
    prompt: PromptField | None = None
    adaptor: AdaptorField | None = None
    head: Literal["new", "kept"] = "new"
    reinit: Patterns = ()
    init_embeddings_from: NodeEncoding | None = None
    requires_template: bool = False

    @property
    def name(self) -> str:
        """As registered."""
        return name_of(self)

    def check(self, linearizer: Linearizer) -> None:
        """Raise unless the linearizer makes the prompts that the strategy requires.

        Raises:
            GraphRecError: For a linearizer that is no template, nor the text of one.
        """
        if self.requires_template and linearizer.prompt is None:
            got = name_of(linearizer)
            hint = "the linearizer 'template', or requires_template: false"
            raise GraphRecError(f"strategy {self.name!r}", "a hard prompt", repr(got), hint)


strategy: Registry[Strategy] = Registry("strategy")
"""``@strategy("name")`` makes a row usable in a recipe."""

StrategyField = Annotated[Strategy, strategy]
"""Type of a config field that holds a strategy."""


Head = Literal["new", "kept"]


@strategy("pretrain")
class Pretrain(Strategy):
    """Everything trains: BERT4Rec, PLM-Rec, Transformers4Rec."""


@strategy("finetune_whole")
class FinetuneWhole(Strategy):
    """Everything trains, with new heads: CHEST, UPRec, U-BERT, TwHIN-BERT, RecInDial."""


@strategy("finetune_part")
class FinetunePart(Strategy):
    """An adaptor and new heads train, or the layers that `trains` names: UniSRec, PeterRec.

    UniSRec is ``trains: [model.features.*, heads.*]`` without an adaptor; Tiny-NewsRec
    ``trains: [model.backbone.layers.3.*, heads.*]``.
    """

    trains: Patterns = ("*.adaptor.*", "heads.*")
    adaptor: AdaptorField | None = Field("bottleneck", validate_default=True)


@strategy("finetune_extra")
class FinetuneExtra(Strategy):
    """New heads on a frozen model: PREC, G-BERT, Liu et al. (2023).

    With ``trains: ["*"], reinit: [model.backbone.*]`` a new network trains, and the pre-trained
    model gives nothing but the first vectors of nodes.
    """

    trains: Patterns = ("heads.*",)


@strategy("prompt_tune")
class PromptTune(Strategy):
    """A soft prompt before a frozen model trains: UniCRS, PPR (light)."""

    trains: Patterns = ("*.prompt.*",)
    prompt: PromptField | None = Field("soft_tokens", validate_default=True)
    head: Head = "kept"


@strategy("tune_with_fixed_prompt")
class TuneWithFixedPrompt(Strategy):
    """The model trains under a template that does not: MESE, UniMIND."""

    head: Head = "kept"
    requires_template: bool = True


@strategy("prompt_free")
class PromptFree(Strategy):
    """Nothing trains; a template asks the model what it knows: Sileo et al. (2022), P5."""

    trains: Patterns = ()
    head: Head = "kept"
    requires_template: bool = True


@strategy("prompt_and_tune")
class PromptAndTune(Strategy):
    """A soft prompt trains alone, then all together: PEPLER, PPR (full), PRL."""

    warmup_only: Patterns = ("*.prompt.*", "heads.*")
    prompt: PromptField | None = Field("soft_tokens", validate_default=True)
    head: Head = "kept"
