"""Dialogues of a run: what was said, what is recommended, and the response beside the true one."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import torch

from graphrec_pt.data.titles import TitleFinder
from graphrec_pt.evaluation.conversations import Conversations
from graphrec_pt.evaluation.tasks.conversation import Conversation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.folder import Run, predictor_of
from graphrec_pt.sampling.edges import segment_edges

PLACES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
"""Turns to show: places of the rank of their best item in the order of all turns."""
TURNS, TOP = 8, 5
"""Earlier turns and recommendations that are shown."""


@dataclass(frozen=True)
class Part:
    """A part of a text: its characters, and ``"item"``, ``"held"``, ``"entity"`` or ``""``."""

    words: str
    kind: str = ""


@dataclass(frozen=True)
class Said:
    """One utterance: whether the system's side said it, and its parts."""

    system: bool
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Answer:
    """An item that the true turn recommends: its title, its rank, whether it was named before."""

    title: str
    rank: float
    candidates: int
    named: bool


@dataclass(frozen=True)
class Offer:
    """An item that the model recommends: its title, whether it is right, and named before."""

    title: str
    held: bool
    named: bool


@dataclass(frozen=True)
class DialogueExample:
    """A held-out turn.

    Args:
        dialogue: Raw id of the dialogue.
        turn: Raw id of the turn.
        place: How well the model does, in words.
        context: What was said before, in order.
        response: What the model says.
        reference: What was said; None where the data has no such column.
        answers: What the true turn recommends, the best rank first.
        offers: What the model recommends, best first.
    """

    dialogue: str
    turn: str
    place: str
    context: tuple[Said, ...]
    response: tuple[Part, ...]
    reference: tuple[Part, ...] | None
    answers: tuple[Answer, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class DialoguePage:
    """The dialogues of a run at test.

    Args:
        instances: Items of turns.
        novel: Those that the dialogue had not named before.
        turns: How many.
        writes: Whether the model wrote the responses, in place of a template.
        examples: Chosen by a rule.
    """

    instances: int
    novel: int
    turns: int
    writes: bool
    examples: tuple[DialogueExample, ...]


def dialogue_page(run: Run) -> DialoguePage:
    """Return turns at fixed places of the order by rank, so that none is hand-picked.

    Args:
        run: With outcomes, history and model.
    """
    outcome = run.outcomes["test"]
    assert isinstance(outcome, Conversations)
    table = outcome.table
    best = table.group_by("user").agg(pl.col("rank").min()).sort("rank", "user")["user"]
    rows = list(dict.fromkeys(round(place * (len(best) - 1)) for place in PLACES))
    task = run.recipe.evaluate.asked
    assert isinstance(task, Conversation)
    graph = run.history
    kind = graph.schema.relation(run.relation).source
    nodes = graph.node_ids(kind, [best[row] for row in rows])
    k = min(TOP, graph.num_nodes(graph.schema.relation(run.relation).target))
    lists = predictor_of(run).rank(nodes, k, seen="keep").items.tolist()
    examples = [
        _example(run, task, table.filter(pl.col("user") == best[row]), int(node), items, row)
        for row, node, items in zip(rows, nodes, lists, strict=True)
    ]
    return DialoguePage(
        len(table),
        int((~table["named"]).sum()),
        len(best),
        outcome.policy.get("responses") == "model",
        tuple(examples),
    )


def _example(
    run: Run, task: Conversation, rows: pl.DataFrame, turn: int, items: Sequence[int], place: int
) -> DialogueExample:
    graph = run.history
    target = graph.schema.relation(run.relation).target
    rows = rows.sort("rank", "item")
    held = graph.node_ids(target, rows["item"]).tolist()
    before = task.context.named(graph, torch.tensor([turn])).node.tolist()
    named = list(dict.fromkeys([*before, *held, *items]))
    among = graph.nodes(target)
    kinds = ["held" if n in held else "item" if n in among else "entity" for n in named]
    titles = [graph.title(node) for node in named]
    finder = TitleFinder(titles)
    markers = {f"@{graph.raw_id(n)}": title for n, title in zip(named, titles, strict=True)}

    def parts(text: str) -> tuple[Part, ...]:
        for marker in sorted(markers, key=len, reverse=True):
            text = text.replace(marker, markers[marker])
        made, end = list[Part](), 0
        for match in finder.find(text):
            made += [Part(text[end : match.start]), Part(text[match.start : match.end])]
            made[-1] = Part(made[-1].words, kinds[match.name[0]])
            end = match.end
        return tuple(part for part in (*made, Part(text[end:])) if part.words)

    first = rows.row(0, named=True)
    reference = first["reference"]
    return DialogueExample(
        first["dialogue"],
        first["user"],
        f"place {place + 1} by the rank of the best item",
        tuple(Said(system, parts(text)) for system, text in _context(graph, task, turn)),
        parts(first["response"] or ""),
        None if reference is None else parts(reference),
        tuple(
            Answer(graph.title(node), rank, candidates, was_named)
            for node, (rank, candidates, was_named) in zip(
                held, rows.select("rank", "candidates", "named").iter_rows(), strict=True
            )
        ),
        tuple(
            Offer(graph.title(item), item in held, item in before) for item in items if item >= 0
        ),
    )


def _context(graph: Graph, task: Conversation, turn: int) -> list[tuple[bool, str]]:
    """Return what was said before a turn, in order, and whether the system's side said it.

    Two people take turns, and the turn itself is the system's, unless a column ``role`` says more.
    """
    if task.context.previous is None:
        texts = graph.title(turn).splitlines()[-TURNS:]
        return [((len(texts) - place) % 2 == 0, text) for place, text in enumerate(texts)]
    kind = graph.type_of(turn)
    roles = graph.tables[kind]["role"] if "role" in graph.tables[kind].columns else None
    said, node = list[tuple[bool, str]](), torch.tensor([turn])
    for back in range(1, TURNS + 1):
        position, _ = segment_edges(graph, node, task.context.previous)
        if not len(position):
            break
        node = graph.csr.indices[position[:1]].long()
        number = int(node)
        role = None if roles is None else roles[number - graph.nodes(kind).start]
        system = back % 2 == 0 if role is None else str(role) == "recommender"
        said.append((system, graph.title(number)))
    return said[::-1]
