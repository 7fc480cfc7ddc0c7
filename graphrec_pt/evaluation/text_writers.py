"""Trained models as writers: of texts, of paths in words, and of what was checked alone."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.facts import Facts
from graphrec_pt.evaluation.text_baseline import KnownTexts, TextSystem
from graphrec_pt.evaluation.text_baselines import by_node, commonest
from graphrec_pt.evaluation.text_scores import rouge_n, tokens_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.readout import PathReadout, Readout
from graphrec_pt.objectives.text_readout import TextReadout
from graphrec_pt.predict.path_words import PathWords, Sentence
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.taught import Taught
from graphrec_pt.predict.writer import nll, write
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.training.stage import Stage

BLOCK = 256
"""Pairs whose paths are decoded at once."""
OWN, ON_PATH = 0.5, 0.05
"""Weights of :class:`Quotes`: the first was chosen on the validation part of Musical Instruments
(.25 to 4 were tried), the second was not tuned."""


@dataclass(frozen=True, eq=False)
class PathWriter:
    """Decodes a path from source to target and puts it into words; "" where there is none.

    Args:
        predictor: Of a model that decodes paths.
        words: Puts them into words.
    """

    predictor: Predictor
    words: PathWords

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return the sentence of each pair."""
        return [each.text if each else "" for each in self.sentences(source, target)]

    def sentences(self, source: Tensor, target: Tensor) -> list[Sentence | None]:
        """Return the sentence of each pair, None where no path leads from one to the other."""
        found: list[Sentence | None] = []
        for low in range(0, len(source), BLOCK):
            block = slice(low, low + BLOCK)
            paths = self.predictor.paths(source[block], target[block].unsqueeze(1))
            found += sentences(self.words, paths)
        return found


def sentences(words: PathWords, paths: Paths) -> list[Sentence | None]:
    """Return paths in words by their roots, at most one of each; None for a root without one."""
    names = words.graph.schema.relation_names
    found: list[Sentence | None] = [None] * paths.size
    for row, root in enumerate(paths.root.tolist()):
        hops = int(paths.length[row])
        relations = [names[index] for index in paths.relations[row, :hops].tolist()]
        found[root] = words.sentence(paths.nodes[row, : hops + 1].tolist(), relations)
    return found


@dataclass(frozen=True, eq=False)
class ModelWriter:
    """A language model as a writer.

    Args:
        predictor: Of the model.
        graph: The whole graph, which has the references.
        pairs: Whether its roots are pairs.
        key: Names the draws of sampling.
    """

    predictor: Predictor
    graph: Graph
    pairs: bool
    key: Key

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return the text of each pair."""
        return write(self.predictor, self._roots(source, target), self.key)

    def nll(self, source: Tensor, target: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negative log-likelihood of each reference, and its tokens."""
        return nll(self.predictor, self._roots(source, target), edge, self.graph)

    def _roots(self, source: Tensor, target: Tensor) -> Tensor:
        return torch.stack([source, target], dim=1) if self.pairs else source


@dataclass(frozen=True, eq=False)
class Quotes:
    """Training texts of a target, the most fitting ones for a source first.

    A text fits by its mean ROUGE-1 to the other training texts of the target, as a medoid does, by
    that to the source's own training texts times `own`, and by naming a node of the decoded path.

    Args:
        known: Training texts.
        facts: Finds names.
        own: Weight of the likeness to the source's own texts.
        path: What naming a node of the path is worth.
        most: Texts of a node that are compared, the latest ones.
    """

    known: KnownTexts
    facts: Facts
    own: float = OWN
    path: float = ON_PATH
    most: int = 64
    _rouge: dict[tuple[int, int], float] = field(default_factory=dict, repr=False)
    _named: dict[int, frozenset[int]] = field(default_factory=dict, repr=False)

    def of(self, source: int, target: int, path: Set[int] = frozenset()) -> list[str]:
        """Return the training texts of a target for a source.

        Args:
            source: Global id.
            target: Global id.
            path: Global ids of the nodes on the decoded path, without its ends.
        """
        rows = self._of_target.get(target, [])[-self.most :]
        mine = self._of_source.get(source, [])[-self.most :]

        def fit(row: int) -> float:
            likeness = self._mean(row, rows) + self.own * self._mean(row, mine)
            return likeness + self.path * (not path.isdisjoint(self._names(row)))

        return [self.known.text[row] for row in sorted(rows, key=fit, reverse=True)]

    @cached_property
    def silent(self) -> str:
        """The commonest training text that names nothing."""
        return commonest([text for text in self.known.text if not self.facts.named(text)])

    def _mean(self, row: int, others: Sequence[int]) -> float:
        scores = [self._likeness(row, other) for other in others if other != row]
        return sum(scores) / len(scores) if scores else 0.0

    def _likeness(self, one: int, other: int) -> float:
        pair = (one, other) if one < other else (other, one)
        if pair not in self._rouge:
            self._rouge[pair] = rouge_n(self._tokens[one], self._tokens[other], 1)
        return self._rouge[pair]

    def _names(self, row: int) -> frozenset[int]:
        if row not in self._named:
            names = self.facts.named(self.known.text[row])
            self._named[row] = frozenset(node for match in names for node in match.name)
        return self._named[row]

    @cached_property
    def _tokens(self) -> list[list[str]]:
        return [tokens_of(text) for text in self.known.text]

    @cached_property
    def _of_target(self) -> dict[int, list[int]]:
        return by_node(self.known.target)

    @cached_property
    def _of_source(self) -> dict[int, list[int]]:
        return by_node(self.known.source)


@dataclass(frozen=True, eq=False)
class GroundedWriter:
    """Writes only what the history graph has: texts are proposed, checked, and else left unsaid.

    Proposals for a pair are, in this order: what a language model writes; training texts of the
    target, see :class:`Quotes`; the decoded path in words. The first one whose every fact is in
    the history graph is taken; without any, the commonest training text that states nothing.

    Args:
        facts: Reads facts and looks them up.
        quotes: Proposes training texts.
        writer: Writes with the model: texts, or paths in words.
    """

    facts: Facts
    quotes: Quotes
    writer: TextSystem | PathWriter

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return the first proposal for each pair that is true."""
        paths: list[Sentence | None] = [None] * len(source)
        first: list[str] = [""] * len(source)
        if isinstance(self.writer, PathWriter):
            paths = self.writer.sentences(source, target)
        else:
            first = self.writer.write(source, target, edge)
        pairs = zip(source.tolist(), target.tolist(), first, paths, strict=True)
        return [self._chosen(*each) for each in pairs]

    def _chosen(self, source: int, target: int, text: str, path: Sentence | None) -> str:
        slots = () if path is None else path.slots
        quotes = self.quotes.of(source, target, {slot.node for slot in slots} - {target})
        for proposal in (text, *quotes, "" if path is None else path.text):
            facts = self.facts.stated(proposal, source, target)
            if proposal.strip() and all(fact.true for fact in facts):
                return proposal
        return self.quotes.silent


def check_writer(stage: Stage) -> None:
    """Raise unless an objective of the stage writes or decodes paths."""
    _readout(Taught.by(stage))


def writer_of(
    model: Model, stage: Stage, split: Split, when: When, phrases: Mapping[str, Sequence[str]]
) -> ModelWriter | PathWriter:
    """Return a trained model as a writer.

    Args:
        model: The model.
        stage: Its last stage.
        split: The split.
        when: Whose history the model may see.
        phrases: Relation → words that put it into a sentence, for a model that decodes paths.
    """
    shown = split.history(when)
    predictor = Predictor(model, shown, stage=stage, relation=split.relation)
    taught = predictor.reading.taught
    if isinstance(_readout(taught), PathReadout):
        return PathWriter(predictor, PathWords(shown, phrases))
    pairs = kind_of_roots(taught.sampler) == "pairs"
    return ModelWriter(predictor, split.graph, pairs, Key(0).named("evaluation.text"))


def _readout(taught: Taught) -> Readout:
    try:
        return taught.first(TextReadout, "an objective that writes").readout
    except GraphRecError:
        return taught.first(PathReadout, "an objective that writes or decodes paths").readout
