"""Trained models as writers: of texts, of paths in words, and of what was checked alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.facts import Facts
from graphrec_pt.evaluation.text_baseline import KnownTexts, TextSystem
from graphrec_pt.evaluation.text_baselines import by_likeness, by_target, commonest
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
class GroundedWriter:
    """Writes only what the history graph has: texts are proposed, checked, and else left unsaid.

    Proposals for a pair are, in this order: what a language model writes; training texts of the
    target, those that name a node of the decoded path before the others, and each group by how
    like the texts are to one another; the path in words. The first one whose every fact is in the
    history graph is taken, of those that state any; then of those that state none.

    Args:
        facts: Reads facts and looks them up.
        known: Training texts.
        writer: Writes with the model: texts, or paths in words.
        most: Training texts of a target that are proposed, the latest ones.
    """

    facts: Facts
    known: KnownTexts
    writer: TextSystem | PathWriter
    most: int = 64
    _quotes: dict[int, list[str]] = field(default_factory=dict, repr=False)

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return the first proposal for each pair that is true."""
        if isinstance(self.writer, PathWriter):
            paths = self.writer.sentences(source, target)
            first: list[str] = [""] * len(paths)
        else:
            paths, first = [None] * len(source), self.writer.write(source, target, edge)
        pairs = zip(first, paths, source.tolist(), target.tolist(), strict=True)
        return [self._chosen(*each) for each in pairs]

    def _chosen(self, text: str, path: Sentence | None, source: int, target: int) -> str:
        on_path = set() if path is None else {slot.node for slot in path.slots} - {target}
        quotes = self._of(target)
        named = [quote for quote in quotes if on_path and on_path & self._nodes(quote)]
        proposals = [text, *named, *([] if path is None else [path.text]), *quotes]
        silent = ""
        for proposal in proposals:
            stated = self.facts.stated(proposal, source, target)
            if stated and all(fact.true for fact in stated):
                return proposal
            if not stated and not silent:
                silent = proposal
        return silent or self._plain

    def _nodes(self, text: str) -> set[int]:
        return {node for match in self.facts.named(text) for node in match.name}

    def _of(self, target: int) -> list[str]:
        if target not in self._quotes:
            rows = self._rows.get(target, [])[-self.most :]
            self._quotes[target] = by_likeness([self.known.text[row] for row in rows])
        return self._quotes[target]

    @cached_property
    def _rows(self) -> dict[int, list[int]]:
        return by_target(self.known)

    @cached_property
    def _plain(self) -> str:
        """The commonest training text that names nothing."""
        return commonest([text for text in self.known.text if not self.facts.named(text)])


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
