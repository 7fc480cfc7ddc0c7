"""Likelihoods of names, against a slow model of the same: every name read alone, word by word."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.predict import likelihood
from graphrec_pt.predict.likelihood import (
    Likelihood,
    LikelihoodScorer,
    Names,
    Reranked,
    log_likelihoods,
)
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import Stage

TITLES = ["a", "red pen", "a longer name of a thing", "red pen", "blue"]
BACKBONES: dict[str, dict[str, Any]] = {
    "ours": {
        "name": "graph_transformer",
        "width": 16,
        "heads": 2,
        "layers": 2,
        "structure": {"position": 128},
        "mode": "causal",
    },
    "gpt2": {
        "name": "hugging_face",
        "model": {
            "model_type": "gpt2",
            "vocab_size": 320,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 128,
        },
        "words": True,
        "mode": "causal",
    },
}
STAGE: dict[str, Any] = {
    "sampler": {"name": "history", "window": 3},
    "linearizer": {
        "name": "verbalizer",
        "phrases": ["I liked {history},"],
        "slots": {"history": {"as": ["title"]}},
    },
    "objectives": ["masked_language"],
}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return synthetic_graph(30, 20, 120, key=Key(1))


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest, graph: Graph) -> Model:
    made = Model.of(graph, backbone=BACKBONES[request.param], text="trained:300", seed=1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)  # so that words differ
    return made


def prompts_of(texts: list[str], model: Model) -> Tokens:
    assert model.tokenizer is not None
    ids = [model.tokenizer.encode(text) for text in texts]
    ptr = torch.tensor([0, *map(len, ids)]).cumsum(0)
    return Tokens.of(torch.tensor([id for each in ids for id in each]), Kind.TEXT, ptr)


def slow(model: Model, prompt: list[int], name: list[int]) -> float:
    """Return log p(name | prompt), one pass for every word."""
    total = 0.0
    for at, word in enumerate(name):
        ids = torch.tensor(prompt + name[:at])
        tokens = Tokens.of(ids, Kind.TEXT, torch.tensor([0, len(ids)]))
        hidden = model.eval().encode(View(tokens, mode="causal")).hidden[-1:]
        total += float(model.word_sides(hidden).logits().detach().log_softmax(1)[0, word])
    return total


def test_the_same_as_word_by_word(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.tokenizer is not None
    texts = ["once", "a rather long prompt of words", "two words"]
    prompts, names = prompts_of(texts, model), Names.of(TITLES, model.tokenizer)
    row = torch.tensor([2, 0, 0, 1, 2, 0, 1])
    name = torch.tensor([0, 1, 2, 3, 4, 3, 2])
    made = log_likelihoods(model, prompts, names, row, name)
    encode = model.tokenizer.encode
    expected = [
        slow(model, encode(texts[r]), encode(" " + TITLES[n]))
        for r, n in zip(row.tolist(), name.tolist(), strict=True)
    ]
    assert made.tolist() == pytest.approx(expected, abs=1e-4)
    assert float(made.std()) > 1
    monkeypatch.setattr(likelihood, "BLOCK", 20)  # smaller blocks change nothing
    again = log_likelihoods(model, prompts, names, row, name)
    assert again.tolist() == pytest.approx(made.tolist(), abs=1e-4)
    assert len(log_likelihoods(model, prompts, names, row[:0], name[:0])) == 0


def test_names_need_tokens(model: Model) -> None:
    assert model.tokenizer is not None
    for texts in ([""], ["a", "  "]):
        with pytest.raises(GraphRecError, match="names of at least one token"):
            Names.of(texts, model.tokenizer)


def test_scores_of_items(model: Model, graph: Graph) -> None:
    reading = Predictor(model, graph, stage=Stage(**STAGE)).reading
    start = reading.items.start
    histories = [torch.tensor([start, start + 1]), torch.tensor([start + 2])]
    row, item = torch.tensor([0, 0, 1]), torch.tensor([4, 5, 4])
    total = LikelihoodScorer(reading, "title", Likelihood(average=False))
    made = total.of_histories(histories, row, item)
    titles = graph.tables["item"]["title"]
    assert model.tokenizer is not None
    encode = model.tokenizer.encode
    prompt = f"I liked {titles[0]}, {titles[1]},"
    expected = slow(model, encode(prompt), encode(f" {titles[4]}"))
    assert float(made[0]) == pytest.approx(expected, abs=1e-4)
    size = [len(encode(f" {titles[n]}")) for n in (4, 5, 4)]
    mean = LikelihoodScorer(reading, "title").of_histories(histories, row, item)
    assert mean.tolist() == pytest.approx((made / torch.tensor(size)).tolist())
    half = LikelihoodScorer(reading, "title", Likelihood(average=False, prior=0.5))
    nothing = reading.tokens_of_events([torch.empty(0, dtype=torch.int64)])
    assert "I liked" in model.tokenizer.decode(nothing.id.tolist())
    prior = slow(model, nothing.id.tolist(), encode(f" {titles[4]}"))
    assert float(half.of_histories(histories, row, item)[0]) == pytest.approx(
        expected - 0.5 * prior, abs=1e-4
    )


def test_reranked_lists_begin_with_the_likeliest_of_the_best(model: Model, graph: Graph) -> None:
    predictor = Predictor(model, graph, stage=Stage(**STAGE))
    second = LikelihoodScorer(predictor.reading, "title")
    nodes = torch.arange(3)
    count = len(predictor.reading.items)

    class Ascending:
        def scores(self, nodes: torch.Tensor) -> torch.Tensor:
            return torch.arange(count).double().repeat(len(nodes), 1)

    scores = Reranked(Ascending(), second, k=4).scores(nodes)
    from graphrec_pt.predict.seen import seen_pairs

    ptr, seen = seen_pairs(graph, predictor.reading.relation.name, nodes)
    for row in range(3):
        met = set(seen[ptr[row] : ptr[row + 1]].tolist())
        best = [item for item in range(count - 1, -1, -1) if item not in met][:4]
        rows = torch.zeros(4, dtype=torch.int64)
        local = second.of_sources(nodes[row : row + 1], rows, torch.tensor(best))
        expected = [best[at] for at in local.argsort(descending=True).tolist()]
        assert scores[row].argsort(descending=True).tolist()[:4] == expected
        rest = [item for item in range(count) if item not in best]
        assert scores[row, rest].tolist() == rest
