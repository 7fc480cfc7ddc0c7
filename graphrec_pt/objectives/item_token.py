"""Items as tokens of a language model: the next token after a prompt in words is an item."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.language_model import LanguageModel
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.readout import CatalogueReadout, Sequences
from graphrec_pt.tokens.answer_text import AnswerText
from graphrec_pt.tokens.kind import Kind


@objective("item_token")
class ItemToken(Objective):
    """The next item after a prompt, in one softmax over the words and the items.

    ``L = −log p(i | prompt)`` with ``p ∝ exp`` of the logits of all words and all nodes of the
    types: items are tokens beside those of the language model, as in E4SRec (Li et al., 2023) and
    LLaRA (Liao et al., SIGIR 2024), re-derived. At inference the catalogue is ranked by one pass:
    no title is decoded, so every item of a list exists.

    Args:
        types: Names of the node types that are tokens; the hidden edges lead to one of them.
        smoothing: Label smoothing ε over words and nodes.
        mode: ``"causal"`` for decoders; ``"prefix"`` for encoder–decoders.
    """

    types: tuple[str, ...] = Field(min_length=1)
    smoothing: float = Field(0.0, ge=0, lt=1)
    mode: Mode = "causal"

    def __post_init__(self) -> None:
        if self.mode not in ("causal", "prefix"):
            raise GraphRecError("item_token", "mode causal or prefix", repr(self.mode))

    @cached_property
    def language(self) -> LanguageModel:
        """The language model whose answer is the token of the target."""
        made = objective.build(
            {
                "name": "language_model",
                "answer": AnswerText(of="target"),
                "nodes": self.types,
                "smoothing": self.smoothing,
                "mode": self.mode,
            }
        )
        assert isinstance(made, LanguageModel)
        return made

    @property
    def needs(self) -> RequiredFields:
        """Any tokens: prompts of words, of nodes, or of both."""
        return self.language.needs

    def check(self, spec: GraphSpec) -> None:
        """Raise for a node type that the graph does not have."""
        self.language.check(spec)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return prompts with the item at their end, and the places of the items."""
        made = self.language.corrupt(examples)
        items = made.targets["kind"] == Kind.NODE  # and not the end of the answer
        targets = {name: column[items] for name, column in made.targets.items()}
        return replace(made, targets=targets, count=int(items.sum()))

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the scores of nodes beside the model's words."""
        return self.language.head(spec, width)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.Module,
    ) -> Tensor:
        """Return the mean over the items."""
        return self.language.loss(encoded, corrupted, model, head)

    def readout(self) -> CatalogueReadout:
        """Return a readout that ranks by the probabilities of the items."""
        return CatalogueReadout(self._scores)

    def _scores(self, sequences: Sequences) -> Tensor:
        """Return the log-probability of every candidate: ``[B, V]``."""
        model, graph, target = sequences.model, sequences.graph, sequences.relation.target
        if target not in self.types:
            got, hint = ", ".join(self.types), f"types: [{target}]"
            raise GraphRecError("item_token", f"{target!r} among its types", got, hint)
        readout = self.language.readout()
        view = readout.prompt(graph, sequences.tokens)  # training had BOS before the item
        view = replace(view, root=sequences.source.contiguous()).to(model.words.device)
        last = view.tokens.ptr[1:] - 1
        hidden = model.encode(view).hidden.index_select(0, last)
        vocabulary = readout.vocabulary(model, sequences.head)
        ids = torch.tensor(list(graph.nodes(target)), device=hidden.device)
        number = vocabulary.numbers(torch.full_like(ids, Kind.NODE), ids)
        return vocabulary.logp(hidden).index_select(1, number)
