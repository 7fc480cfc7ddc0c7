"""Replaced token detection: which nodes of a sequence are not the original ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import FeatureHead, ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.masking import Masking, choose, hide, occurrences, of_types
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import one_of, unit
from graphrec_pt.tokens.kind import Kind

_SCORES = 1 << 24
"""Scores held at once."""


@objective("replaced_token")
class ReplacedToken(NodePrediction):
    """Replaced token detection (RTD) of ELECTRA (Clark et al., ICLR 2020).

    ``L = 1/n Σ_t BCE(σ(f(h_t)), [x̃_t ≠ x_t]) + γ 1/(ρ n) Σ_{m ∈ M} −log p(v_m | sequence
    without M)`` over the n nodes of the sequences, roots left out. The second term is there with
    ``source: model`` only: the model itself fills the hidden nodes, as in Transformers4Rec (de
    Souza Pereira Moreira et al., RecSys 2021), and learns to by masked nodes, while no gradient
    passes through what was drawn. A drawn node that is the true one counts as true. Text tokens
    are left out, because they would give the nodes away.

    Args:
        share: ρ, share of the nodes that are replaced.
        source: Replacements of the same type, ``"uniform"``, by ``"popularity"`` (degree), or
            drawn from the ``"model"``.
        generator: γ.
        candidates: The loss of the generator over the nodes of a type, and its negatives.
        types: Names of the node types that may be replaced; all by default.
    """

    share: float = Field(0.15, gt=0, lt=1)
    source: Literal["uniform", "popularity", "model"] = "uniform"
    generator: float = Field(1.0, gt=0)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view with nodes replaced, or masked for the generator to fill."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("replaced_token")
        tokens = tokens.take((tokens.kind != Kind.TEXT).nonzero().squeeze(1))
        eligible = of_types(graph, tokens, self.types)
        eligible &= ~occurrences(tokens, tokens.hop == 0)
        masking = Masking(share=self.share, spare=1, everywhere=False)
        chosen = choose(tokens, eligible, draws, masking)
        token, judged = chosen.nonzero().squeeze(1), eligible.nonzero().squeeze(1)
        types = tokens.type[token]
        words = draws.named("replacement").of_tokens(tokens)[token]
        if self.source == "model":
            targets = self.candidates.targets(graph, tokens, token, words, draws)
            targets |= {"judged": judged, "bits": words[:, 3]}
            view = View(hide(graph, tokens, chosen, draws, masking))
            return TrainingExamples((view,), targets, len(judged))
        draw = _uniform if self.source == "uniform" else _popular
        ids = tokens.id.index_copy(0, token, draw(graph, tokens.id[token], types, words))
        targets = {"judged": judged, "replaced": (ids != tokens.id)[judged]}
        return TrainingExamples((View(replace(tokens, id=ids)),), targets, len(judged))

    def head(self, spec: GraphSpec, width: int) -> nn.ModuleDict:
        """Return the discriminator head, and the generator head if there is a generator."""
        heads: dict[str, nn.Module] = {"judge": FeatureHead(width, 1)}
        if self.source == "model":
            heads["generator"] = self.candidates.head(width)
        return nn.ModuleDict(heads)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.ModuleDict,
    ) -> Tensor:
        """Encode the generator's output and return the mean loss over the classified nodes."""
        at, shown = corrupted.targets, encoded[0]
        if self.source != "model":
            return self._judged(shown, at["judged"], at["replaced"], head)
        hidden = shown.hidden.index_select(0, at["token"])  # [m, D]
        filler: ItemHead = head["generator"]  # type: ignore[assignment]
        masked_loss = self.candidates.loss(hidden, at, model, filler)
        made = generated(hidden, at["type"], at["bits"], model, filler)
        masked = shown.view.tokens
        filled = replace(
            masked,
            id=masked.id.index_copy(0, at["token"], made),
            kind=masked.kind.index_fill(0, at["token"], int(Kind.NODE)),
        )
        wrong = torch.zeros_like(masked.id).index_copy(0, at["token"], (made != at["node"]).long())
        again = model.encode(View(filled))
        judged = self._judged(again, at["judged"], wrong[at["judged"]], head)
        expected = self.share * max(len(at["judged"]), 1)
        return judged + self.generator * masked_loss * len(at["token"]) / expected

    def _judged(self, shown: Encoded, place: Tensor, wrong: Tensor, head: nn.ModuleDict) -> Tensor:
        logits = head["judge"](shown.hidden.index_select(0, place)).squeeze(1)
        return binary_cross_entropy_with_logits(logits, wrong.to(logits.dtype))

    def readout(self) -> QueryReadout | None:
        """Return the generator's ranking for a MASK, if the model is the generator."""
        return QueryReadout("end", part="generator") if self.source == "model" else None


@torch.no_grad()
def generated(hidden: Tensor, types: Tensor, bits: Tensor, model: Model, head: ItemHead) -> Tensor:
    """Draw a node for every hidden state by inverting the distribution function.

    The node v of ``softmax(s)`` with ``Σ_{j<v} p_j ≤ u < Σ_{j≤v} p_j``, u from `bits`: the same
    states and bits give the same nodes, whatever else is in the batch.

    Args:
        hidden: ``[m, D]``.
        types: int64 ``[m]``, node types to draw from.
        bits: int64 ``[m]``, words of 32 random bits.
        model: Has the vectors of the nodes.
        head: Scores them.

    Returns:
        int64 ``[m]`` global ids.
    """
    out = torch.zeros_like(types)
    for index, name in enumerate(model.spec.node_names):
        rows = (types == index).nonzero().squeeze(1)
        if not len(rows):
            continue
        table = model.table(name)
        for some in torch.split(rows, max(_SCORES // max(len(table), 1), 1)):
            scores = head(hidden.index_select(0, some), table)  # [·, V]
            total = scores.double().softmax(dim=1).cumsum(dim=1)
            mark = unit(bits[some]).unsqueeze(1) * total[:, -1:]
            drawn = torch.searchsorted(total, mark, right=True).squeeze(1)
            out[some] = model.spec.ids(name).start + drawn.clamp(max=len(table) - 1)
    return out


def _uniform(graph: Graph, node: Tensor, types: Tensor, words: Tensor) -> Tensor:
    """Return another node of the type of each: int64 ``[m]``."""
    low = graph.csr.offset[types]
    size = graph.csr.offset[types + 1] - low
    step = 1 + one_of(words[:, 0], (size - 1).clamp(min=1))
    return low + (node - low + step) % size


def _popular(graph: Graph, node: Tensor, types: Tensor, words: Tensor) -> Tensor:
    """Return a node of the type of each, drawn by degree: int64 ``[m]``."""
    csr, out = graph.csr, node.clone()
    for kind in torch.unique(types).tolist():
        rows = (types == kind).nonzero().squeeze(1)
        segment = csr.segment[int(csr.base[kind]) : int(csr.base[kind + 1]) + 1]
        low, high = int(segment[0]), int(segment[-1])
        if low == high:  # no node of the type has an edge: draw uniformly
            out[rows] = _uniform(graph, node[rows], types[rows], words[rows])
            continue
        edge = low + one_of(words[rows, 0], high - low)  # the source of a random edge
        at = torch.searchsorted(segment, edge, right=True) - 1
        out[rows] = csr.offset[kind] + at // csr.slots[kind]
    return out
