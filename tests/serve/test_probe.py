"""Probes of language models: a model that was taught the edges, chance by hand, bad templates."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graphrec_pt.cli import main
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.store import save_graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.serve.probe import probe
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

BACKBONE: dict[str, Any] = {
    "name": "graph_transformer",
    "width": 32,
    "heads": 2,
    "layers": 1,
    "structure": {"position": 128},
    "mode": "causal",
}
TEMPLATE = "{source} has the brand {target}."


@pytest.fixture(scope="module")
def graph() -> Graph:
    return synthetic_graph(30, 12, 120, key=Key(1))


def relation_of(graph: Graph) -> str:
    names = [each.name for each in graph.schema.relations if each.target == "brand"]
    return names[0]


@pytest.fixture(scope="module")
def taught(graph: Graph) -> Model:
    """Return a model that has learned the sentences of the template by heart."""
    model = Model.of(graph, backbone=BACKBONE, text="trained:300", seed=0)
    assert model.tokenizer is not None
    edges, tables = graph.edges(relation_of(graph)), graph.tables
    start, first = graph.nodes("item").start, graph.nodes("brand").start
    texts = [
        f"{tables['item']['title'][int(a) - start]} has the brand "
        f"{tables['brand'][RAW_ID][int(b) - first]}."
        for a, b in zip(edges.source, edges.target, strict=True)
    ]
    ids = [model.tokenizer.encode(text) for text in texts]
    ptr = torch.tensor([0, *map(len, ids)]).cumsum(0)
    flat = torch.tensor([id for each in ids for id in each])
    tokens = Tokens.of(flat, Kind.TEXT, ptr)
    last = torch.zeros(len(flat), dtype=torch.bool)
    last[ptr[1:] - 1] = True
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    torch.manual_seed(0)  # dropout draws from it, and other tests move it
    for _ in range(120):
        hidden = model.encode(View(tokens, mode="causal")).hidden
        logits = model.word_sides(hidden[~last]).logits()
        loss = torch.nn.functional.cross_entropy(logits, flat[1:][~last[:-1]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_what_was_taught_is_known(graph: Graph, taught: Model) -> None:
    found = probe(taught, graph, TEMPLATE, relation_of(graph), k=(1, 2))
    assert found.sources == 12
    assert found.targets == graph.num_nodes("brand")
    assert found.recall[1] > 0.9
    assert found.recall[1] > found.frequency[1] + 0.3
    fresh = Model.of(graph, backbone=BACKBONE, text="trained:300", seed=3).eval()
    ignorant = probe(fresh, graph, TEMPLATE, relation_of(graph), k=(1, 2))
    assert ignorant.recall[1] < 0.6
    assert ignorant.frequency == found.frequency


def test_chance_and_frequency_by_hand(graph: Graph, taught: Model) -> None:
    relation = relation_of(graph)
    found = probe(taught, graph, TEMPLATE, relation, k=(1, 2))
    total = graph.num_nodes("brand")  # each item has one brand
    assert found.chance[1] == pytest.approx(1 / total)
    assert found.chance[2] == pytest.approx(2 / total)
    counts = torch.bincount(graph.edges(relation).target)
    assert found.frequency[1] == pytest.approx(float(counts.max()) / 12)
    few = probe(taught, graph, TEMPLATE, relation, sources=5)
    assert few.sources == 5


@pytest.mark.parametrize("template", ["{source} is", "a {target}", "{target} of {source}", ""])
def test_templates_have_both_places(graph: Graph, taught: Model, template: str) -> None:
    with pytest.raises(GraphRecError, match=r"a template with \{source\}, then \{target\}"):
        probe(taught, graph, template, relation_of(graph))


def test_the_command(
    graph: Graph, taught: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_graph(graph, tmp_path / "graph")
    taught.save_pretrained(tmp_path / "model")
    given = ["probe", str(tmp_path / "model"), TEMPLATE, "--relation", relation_of(graph)]
    assert main([*given, "--graph", str(tmp_path / "graph"), "-k", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recall"]["1"] > 0.9
    assert main([*given, "--graph", str(tmp_path / "graph")]) == 0
    assert "most frequent" in capsys.readouterr().out
    assert main([*given]) == 2
    assert capsys.readouterr().err.count("\n") == 1
