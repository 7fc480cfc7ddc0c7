"""Texts of a run beside their references: names marked, facts looked up in the history graph."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrec_pt.data.picture import Picture
from graphrec_pt.evaluation.facts import Fact, Facts
from graphrec_pt.evaluation.tasks.text import TextTask
from graphrec_pt.evaluation.text_metrics import RougeL
from graphrec_pt.evaluation.written import Written
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.readout import PathReadout
from graphrec_pt.predict.path_words import PathWords
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.taught import Taught
from graphrec_pt.recipe.folder import MODEL, Run, predictor_of
from graphrec_pt.serve.explain import decoded
from graphrec_pt.serve.report.user_examples import picture

PLACES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
"""Texts to show: places of their ROUGE-L in the order of all texts, the best first."""


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    Args:
        words: Its characters.
        fact: ``"true"`` or ``"false"`` for the name of a fact, ``""`` for other words.
        about: What the graph says of it.
    """

    words: str
    fact: str = ""
    about: str = ""


@dataclass(frozen=True)
class TextExample:
    """A target: what was written, and what the data has.

    Args:
        user: Shown name of the source.
        item: Shown name of the target.
        place: How like the reference the text is, in words.
        text: What the system wrote; empty for an empty text.
        reference: Text of the data.
        path: The decoded path in words, for a model that decodes paths; None where there is none.
        picture: The path as a picture.
    """

    user: str
    item: str
    place: str
    text: tuple[Piece, ...]
    reference: tuple[Piece, ...]
    path: tuple[Piece, ...] | None
    picture: Picture | None


@dataclass(frozen=True)
class TextPage:
    """The texts of a run at test.

    Args:
        targets: How many were written about.
        unknown: Those without a reference in the data, which no comparison counts.
        empty: Empty texts.
        stated: Facts that all texts state.
        grounded: Those that the history graph has.
        examples: Chosen by a rule.
    """

    targets: int
    unknown: int
    empty: int
    stated: int
    grounded: int
    examples: tuple[TextExample, ...]


def text_page(run: Run) -> TextPage:
    """Return the texts of the first seed.

    Args:
        run: With texts and history; paths are shown where it has a model that decodes them.
    """
    written = run.outcomes["test"]
    assert isinstance(written, Written)
    table = written.table
    return TextPage(
        targets=len(written),
        unknown=table["reference"].null_count(),
        empty=sum(not text.strip() for text in table["text"]),
        stated=int(table["stated"].sum()),
        grounded=int(table["grounded"].sum()),
        examples=tuple(_examples(run, written)),
    )


def pieces(text: str, facts: Sequence[Fact], graph: Graph) -> tuple[Piece, ...]:
    """Return a text cut at its facts; a name with several facts is true if all of them are.

    Args:
        text: The text.
        facts: Of the text.
        graph: The graph in which they were looked up.
    """
    found: dict[tuple[int, int], list[Fact]] = {}
    for fact in facts:
        found.setdefault((fact.start, fact.end), []).append(fact)
    made, end = list[Piece](), 0
    for (start, stop), some in sorted(found.items()):
        made.append(Piece(text[end:start]))
        state = "true" if all(fact.true for fact in some) else "false"
        made.append(Piece(text[start:stop], state, "; ".join(_about(f, graph) for f in some)))
        end = stop
    made.append(Piece(text[end:]))
    return tuple(piece for piece in made if piece.words)


def _about(fact: Fact, graph: Graph) -> str:
    kind = graph.type_of(fact.nodes[0])
    if fact.relation is not None:
        return f"{fact.relation}: {'an edge' if fact.true else 'no edge'} of the history graph"
    return f"{kind}: {'joined' if fact.true else 'not joined'} to the pair in the history graph"


def _examples(run: Run, written: Written) -> list[TextExample]:
    task = run.recipe.evaluate.asked
    assert isinstance(task, TextTask)
    graph, relation = run.history, run.history.schema.relation(run.relation)
    facts = Facts.of(graph, run.relation, task.entities, task.phrases)
    predictor, words = _predictor(run), PathWords(graph, task.phrases)
    made = []
    for row, place in chosen_texts(written):
        user, item, *texts = written.table.select("user", "item", "text", "reference").row(row)
        pair = graph.node_id(relation.source, user), graph.node_id(relation.target, item)
        why = [] if predictor is None else decoded(predictor, pair[0], [pair[1]])[0]
        texts += [words.sentence(path.nodes, path.relations).text for path in why]
        text, reference, *path = [pieces(each, facts.stated(each, *pair), graph) for each in texts]
        made.append(
            TextExample(
                graph.title(pair[0]),
                graph.title(pair[1]),
                place,
                text,
                reference,
                path[0] if path else None,
                picture(graph, why) if why else None,
            )
        )
    return made


def _predictor(run: Run) -> Predictor | None:
    """Return the predictor of a run whose model decodes paths, else None."""
    last = Taught.by(run.recipe.stages[-1])
    paths = any(isinstance(each.readout(), PathReadout) for each in last.objectives.values())
    return predictor_of(run) if paths and (run.folder / MODEL).is_dir() else None


def chosen_texts(written: Written) -> list[tuple[int, str]]:
    """Return (row, how like the reference it is) of the texts to show, the best first."""
    scores, there = RougeL().rows(written)
    rows = np.flatnonzero(there)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    if not len(rows):
        return []
    places = {round(place * (len(rows) - 1)): place for place in PLACES}
    return [
        (int(rows[at]), f"ROUGE-L {scores[rows[at]]:.2f}, at {place:.0%} of the texts, best first")
        for at, place in places.items()
    ]
