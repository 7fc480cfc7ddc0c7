"""Sets of roots: which nodes does a relation link the root to, told by its sequence."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.multi_label import Labels, Over, linked, multi_label_loss
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pool
from graphrec_pt.tokens.tokens import Tokens


@objective("root_set")
class RootSet(Objective):
    """The set that a root is linked to, as G-BERT (Shang et al., IJCAI 2019) is fine-tuned.

    ``L = −1/nA Σ_roots Σ_a [y_a log σ(s_a) + (1 − y_a) log σ(−s_a)]`` over all A nodes that the
    relation can lead to; s is read off the sequence of the root: the medication of a visit, the
    next basket, the tags of a post. What the sampler took of the root's own set is left out of the
    sequence, whatever else is in it.

    Args:
        relation: Leads from roots to the members of their sets.
        pool: Where the vector of a sequence is read off; the first token is CLS or the root.
        transform: Whether it goes through dense, GELU and norm.
        over: The mean or the sum over the A nodes.
    """

    relation: str
    pool: Pool = "first"
    transform: bool = True
    over: Over = "mean"

    @property
    def needs(self) -> Needs:
        """Nodes with their hop and the relation that led to them."""
        return Needs(fields=frozenset({"type", "hop", "relation"}))

    def check(self, outline: Outline) -> None:
        """Raise for a relation that the graph does not have."""
        outline.relation_index(self.relation)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences of roots that have a set, without it, and the sets.

        Raises:
            GraphRecError: For roots of another type than the relation leaves.
        """
        graph, root = examples.graph, examples.root()
        source = graph.schema.relation(self.relation).source
        own = graph.nodes(source)
        if root is None or bool(((root < own.start) | (root >= own.stop)).any()):
            raise GraphRecError("root_set", f"roots of type {source!r}", "others")
        labels = linked(graph, self.relation, root)
        tokens = without_own(graph, examples.tokens, self.relation)
        full = torch.bincount(labels.row, minlength=len(tokens)) > 0
        rows = (full & (tokens.lengths() > 0)).nonzero().squeeze(1)
        number = torch.full((len(tokens),), -1)
        number[rows] = torch.arange(len(rows))
        kept = number[labels.row] >= 0
        targets = {"row": number[labels.row[kept]], "label": labels.label[kept]}
        return Corrupted((View(tokens.select(rows), root=root[rows]),), targets, len(rows))

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return what scores the nodes of the type, with a bias for each: most are in no set."""
        target = outline.relations[outline.relation_index(self.relation)].target
        return ItemHead(width, items=len(outline.ids(target)), transform=self.transform)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over roots."""
        outline, at = model.outline, corrupted.targets
        target = outline.relations[outline.relation_index(self.relation)].target
        scores = head(encoded[0].pooled(self.pool), model.table(target))  # [n, A]
        return multi_label_loss(scores, Labels(at["row"], at["label"]), self.over)


def without_own(graph: Graph, tokens: Tokens, relation: str) -> Tokens:
    """Return sequences without the members that a relation links their roots to."""
    index = graph.schema.relation_index(relation)
    own = (tokens.hop == 1) & (tokens.relation == index)
    if not bool(own.any()):
        return tokens
    in_a_row = torch.equal(tokens.position, tokens.places())
    left = tokens.take((~own).nonzero().squeeze(1))
    return replace(left, position=left.places()) if in_a_row else left
