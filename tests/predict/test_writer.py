"""Texts of a trained model: a world that it learns entirely, held-out pairs included."""

from pathlib import Path
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, split
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.writer import nll, trie_of, write, written
from graphrec_pt.tokens.answer_text import AnswerText
from graphrec_pt.tokens.words import Words
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.trainer import Trainer
from tests.tokens.text_world import Whole, review_of, reviews_graph

BACKBONE: dict[str, Any] = {
    "name": "graph_transformer",
    "width": 32,
    "layers": 2,
    "heads": 2,
    "dropout": 0.0,
    "structure": {"position": 32, "kind": None},
}
PAIRS = {
    "name": "both_ends",
    # The two nodes alone: nothing of these relations leaves them.
    "source": {"name": "k_hop", "fanout": [1], "relations": ["about"]},
    "target": {"name": "k_hop", "fanout": [1], "relations": ["about"]},
}


@pytest.fixture(scope="module")
def parts() -> Split:
    return split(reviews_graph(12, 9), "leave_one_out")


@pytest.fixture(scope="module")
def trained(parts: Split) -> Predictor:
    model = Model.of(parts.train, backbone=BACKBONE, text="trained:270", seed=0)
    stage = Stage(
        sampler=PAIRS,
        linearizer="subgraph",
        objectives=[
            {"name": "language_model", "answer": {"of": "event", "column": "text", "longest": 16}}
        ],
        roots="reviews",
        steps=260,
        batch=32,
        optimization={"lr": 5e-3},
    )
    Trainer(seed=0).fit(model, parts.train, stage)
    return Predictor(model, parts.history("test"), stage=stage)


def pairs(parts: Split) -> torch.Tensor:
    return torch.stack([parts.test.source, parts.test.target], dim=1)


def truth(graph: Graph, pairs: torch.Tensor) -> list[str]:
    return [review_of(*(int(graph.raw_id(int(n))) for n in pair)) for pair in pairs]


def test_it_writes_the_reviews_that_were_held_out(trained: Predictor, parts: Split) -> None:
    assert write(trained, pairs(parts)) == truth(parts.graph, pairs(parts))
    beam = Generation(how="beam", beams=3, longest=20)
    assert write(trained, pairs(parts), generation=beam) == truth(parts.graph, pairs(parts))


def test_the_true_answers_are_probable_and_others_are_not(trained: Predictor, parts: Split) -> None:
    roots, edges = pairs(parts), parts.test.edge
    total, count = nll(trained, roots, edges, parts.graph)
    words = trained.model.tokenizer
    assert words is not None
    lengths = [len(words.encode(text)) + 1 for text in truth(parts.graph, roots)]
    assert count.tolist() == lengths
    assert bool((total / count < 0.2).all())
    wrong, _ = nll(trained, roots, edges.roll(1), parts.graph)
    assert float(wrong.sum()) > 5 * float(total.sum())
    unknown = torch.full_like(edges, -1)
    assert nll(trained, roots, unknown, parts.graph)[1].tolist() == [0] * len(roots)


def test_a_root_gets_the_same_text_in_every_batch(trained: Predictor, parts: Split) -> None:
    roots, hot = pairs(parts), Generation(how="sample", temperature=3.0, longest=5)
    together = write(trained, roots, Key(1), generation=hot)
    assert write(trained, roots[3:5], Key(1), generation=hot) == together[3:5]
    assert write(trained, roots.flip(0), Key(1), generation=hot) == together[::-1]
    assert write(trained, roots, Key(2), generation=hot) != together
    assert write(trained, roots[:0]) == []


def test_a_saved_model_writes_the_same(trained: Predictor, parts: Split, tmp_path: Path) -> None:
    trained.model.save_pretrained(tmp_path / "model")
    model = Model.from_pretrained(tmp_path / "model")
    loaded = Predictor(model, parts.history("test"), relation="reviews")
    roots = pairs(parts)
    assert write(loaded, roots) == write(trained, roots)


def test_names_come_from_the_trie_of_titles(parts: Split) -> None:
    graph, words = parts.train, Words(Whole())
    trie = trie_of(graph, AnswerText(of="target", column="title"), words)
    assert len(trie) == 9
    with pytest.raises(GraphRecError, match="names to write within"):
        trie_of(graph, AnswerText(of="event", column="text"), words)
    stage = Stage(
        sampler={"name": "history", "relations": ["reviews"]},
        linearizer="history",
        objectives=[
            {
                "name": "language_model",
                "answer": {"of": "target", "column": "title"},
                "generation": {"how": "beam", "within": "names", "longest": 16},
            }
        ],
        roots="reviews",
    )
    model = Model.of(graph, backbone=BACKBONE, text="trained:270", seed=3)
    label, part = "language_model", stage.objectives[0].objective
    model.put_head(label, seeded(lambda: part.head(model.spec, model.width), 0))
    predictor = Predictor(model, graph, stage=stage)
    users = torch.arange(4)
    titles = graph.tables["item"]["title"].to_list()
    assert set(write(predictor, users)) <= set(titles)
    best = written(predictor, users, best=4)
    assert best.row.tolist() == [user for user in range(4) for _ in range(4)]
    assert len(set(best.texts(model))) > 1


def test_a_model_that_writes_nothing_is_told(parts: Split) -> None:
    stage = Stage(
        sampler={"name": "history", "relations": ["reviews"]},
        linearizer="history",
        objectives=["next_item"],
    )
    model = Model.of(parts.train, backbone=BACKBONE)
    predictor = Predictor(model, parts.train, stage=stage)
    with pytest.raises(GraphRecError, match="an objective that writes, got next_item"):
        write(predictor, torch.arange(2))
