"""Masked tokens: which node and which word was hidden, each column with its own vocabulary."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.masking import Masking
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind


@objective("masked_token")
class MaskedToken(Objective):
    """Masked news and user tokens (MTP) of PREC (Liu et al., COLING 2022).

    A news is a row of columns (title, subcategory, abstract), a user a sequence of news. Of the
    tokens of each column .15 are chosen, .8 of these become MASK, .1 another token of the same
    column's vocabulary, .1 stay; each column is predicted over its own vocabulary: node types over
    their nodes, text over the text vocabulary. MASK keeps the type of its node, so that structure
    ``type`` makes a MASK of each column. The paper adds up the columns' means; here all hidden
    tokens weigh the same. Without a `vocabulary` text is left alone (users as sequences of news).

    Args:
        vocabulary: Tokens of the text vocabulary, the `text` of the model; 0 for none.
        masking: How many tokens of each column, and what is put in their place.
        candidates: What hidden nodes are told from.
        types: Names of the node types that may be hidden; all by default, roots never.
    """

    vocabulary: int = Field(0, ge=0)
    masking: Masking = Masking(mask=0.8, random=0.1)
    candidates: Candidates = Candidates()
    types: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.vocabulary == 1:
            raise GraphRecError("masked_token", "a vocabulary of 0, or of 2 and more", 1)

    @property
    def nodes(self) -> Objective:
        """The part of the nodes."""
        given = {"masking": self.masking, "candidates": self.candidates, "types": self.types}
        return objective.build({"name": "masked_node", **given})

    @property
    def language(self) -> Objective | None:
        """The part of the text."""
        if not self.vocabulary:
            return None
        alone = self.masking.model_copy(update={"everywhere": False})
        given = {"vocabulary": self.vocabulary, "masking": alone}
        return objective.build({"name": "masked_language", **given})

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots; text if there is a vocabulary."""
        kinds = {Kind.NODE, Kind.TEXT} if self.vocabulary else {Kind.NODE}
        return Needs(frozenset(kinds), self.nodes.needs.fields)

    def check(self, outline: Outline) -> None:
        """Raise for node types that the graph does not have."""
        self.nodes.check(outline)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return one view, and what was hidden in it."""
        nodes = self.nodes.corrupt(examples)
        targets = {f"nodes.{name}": value for name, value in nodes.targets.items()}
        if self.language is None:
            return replace(nodes, targets=targets)
        # The text of a hidden node is hidden by now, and is not predicted.
        hidden = replace(examples, tokens=nodes.views[0].tokens)
        text = self.language.corrupt(hidden)
        targets |= {f"text.{name}": value for name, value in text.targets.items()}
        return Corrupted(text.views, targets, nodes.count + text.count)

    def head(self, outline: Outline, width: int) -> nn.ModuleDict:
        """Return the heads of nodes and of text."""
        heads: dict[str, nn.Module] = {"nodes": self.nodes.head(outline, width)}
        if self.language is not None:
            heads["text"] = self.language.head(outline, width)
        return nn.ModuleDict(heads)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: nn.ModuleDict
    ) -> Tensor:
        """Return the mean over the hidden tokens."""
        parts = {"nodes": self.nodes, "text": self.language}
        total = encoded[0].hidden.new_zeros(())
        for name, part in parts.items():
            if part is None:
                continue
            at = {
                key.removeprefix(f"{name}."): value
                for key, value in corrupted.targets.items()
                if key.startswith(f"{name}.")
            }
            count = len(at["token"])
            if count:
                own = Corrupted(corrupted.views, at, count)
                total = total + count * part.loss(encoded, own, model, head[name])
        return total / max(corrupted.count, 1)
