"""Path autoregression: the next node or relation of a path."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.decoding import Decoding
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.readout import PathReadout
from graphrec_pt.tokens.kind import Kind


@objective("path_autoregression")
class PathAutoregression(Objective):
    """The autoregressive model (AM) of paths of nodes and relations.

    ``L = −1/n Σ_t log p(x_t | x_1 … x_{t−1})`` over nodes and relations. A node is predicted among
    nodes and a relation among relations, by a head of its own each, as in PLM-Rec (Geng et al.,
    WWW 2022; the two means of its released re-implementations are here one mean over all tokens).
    With `joint` one softmax goes over everything, as in PEARLM (Balloccu et al., arXiv
    2310.16452).
    A relation comes before the node it leads to, so a model can decode paths: from a user over a
    relation to an item.

    Args:
        among: A node is predicted among those of its ``"type"``, or among ``"all"`` nodes.
        candidates: The loss over the nodes of a type, and its negatives.
        relation: Weight of a relation, where that of a node is 1.
        joint: One softmax over all nodes and relations; `among` and `relation` do nothing.
        decode: How items are recommended by a model that was taught this.
    """

    among: Literal["type", "all"] = "type"
    candidates: Candidates = Candidates()
    relation: float = Field(1.0, ge=0)
    joint: bool = False
    decode: Decoding = Decoding()

    @property
    def needs(self) -> RequiredFields:
        """Nodes and relations as tokens."""
        return RequiredFields(frozenset({Kind.NODE, Kind.RELATION}), frozenset({"type"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the paths unchanged, and the node or relation that follows each token."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("path_autoregression")
        follows = tokens.places() > 0
        node = (follows & (tokens.kind == Kind.NODE)).nonzero().squeeze(1)
        relation = (follows & (tokens.kind == Kind.RELATION)).nonzero().squeeze(1)
        targets = {
            "token": node - 1,
            "node": tokens.id[node],
            "type": tokens.type[node],
            "before": relation - 1,
            "relation": tokens.id[relation],
        }
        if not self.joint and self.among == "type":
            words = draws.of_tokens(tokens)[node]
            targets |= self.candidates.draw(graph, tokens.type[node], words, draws)
        return TrainingExamples((View(tokens, "causal"),), targets, len(node) + len(relation))

    def head(self, spec: GraphSpec, width: int) -> nn.ModuleDict:
        """Return one shared head, or one for nodes and one for relations; tables are tied."""
        if self.joint:
            return nn.ModuleDict({"both": self.candidates.head(width)})
        relation = ItemHead(width, transform=True)
        return nn.ModuleDict({"node": self.candidates.head(width), "relation": relation})

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.ModuleDict,
    ) -> Tensor:
        """Return the mean over nodes and relations."""
        at, hidden = corrupted.targets, encoded[0].hidden
        relations = model.embedding.relation.weight
        if self.joint:
            table = torch.cat([_every_node(model), relations])  # [N + R, D]
            place = torch.cat([at["token"], at["before"]])
            target = torch.cat([at["node"], at["relation"] + model.spec.num_nodes])
            both: Tensor = head["both"].loss(hidden.index_select(0, place), table, target)  # type: ignore[operator]
            return both
        rows = hidden.index_select(0, at["token"])  # [n, D]
        of_node: ItemHead = head["node"]  # type: ignore[assignment]
        of_relation: ItemHead = head["relation"]  # type: ignore[assignment]
        if self.among == "all":
            node = of_node.loss(rows, _every_node(model), at["node"])
        else:
            node = self.candidates.loss(rows, at, model, of_node)
        rows = hidden.index_select(0, at["before"])  # [m, D]
        relation = of_relation.loss(rows, relations, at["relation"])
        nodes, steps = len(at["node"]), len(at["relation"])
        return (node * nodes + self.relation * relation * steps) / max(nodes + steps, 1)

    def node_scores(self, hidden: Tensor, model: Model, head: nn.Module, node_type: str) -> Tensor:
        """Return the logits of all nodes of a type after some tokens: ``[n, V]``."""
        chosen = head.get_submodule("both" if self.joint else "node")
        scores: Tensor = chosen(hidden, model.table(node_type))
        return scores

    def relation_scores(self, hidden: Tensor, model: Model, head: nn.Module) -> Tensor:
        """Return the logits of all relations after some tokens: ``[n, R]``."""
        chosen = head.get_submodule("both" if self.joint else "relation")
        scores: Tensor = chosen(hidden, model.embedding.relation.weight)
        return scores

    @property
    def allows_template(self) -> bool:
        """No: a path begins with its root."""
        return False

    def readout(self) -> PathReadout:
        """Return a readout that ranks items by the paths decoded to them."""
        return PathReadout(self.decode, self.node_scores, self.relation_scores)


def _every_node(model: Model) -> Tensor:
    """Return the vectors of all nodes by global id: ``[N, D]``."""
    return torch.cat([model.table(name) for name in model.spec.node_names])
