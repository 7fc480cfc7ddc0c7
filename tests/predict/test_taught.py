"""What a model was taught, with its own words where the recipe names none."""

from pathlib import Path
from typing import Any

import torch

from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.masked_language import MaskedLanguage
from graphrec_pt.predict.taught import Taught
from graphrec_pt.tokens.text import TextLinearizer
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.trainer import Trainer

BACKBONE: dict[str, Any] = {
    "name": "graph_transformer",
    "width": 8,
    "heads": 1,
    "layers": 1,
    "structure": {"position": 64},
}
STAGE: dict[str, Any] = {
    "sampler": {"name": "history", "window": 3},
    "linearizer": {"name": "text", "base": "history"},
    "objectives": ["masked_language"],
    "steps": 2,
    "tokens": 200,
}


def texts(taught: Taught, graph: Graph) -> Tokens:
    """Return the sequences of the first users."""
    roots = torch.arange(3)
    sample = taught.sampler.sample(graph, roots, Key(0))
    return taught.linearizer.linearize(graph, sample, Key(0))


def test_the_words_of_a_model_go_all_the_way(tmp_path: Path) -> None:
    graph = synthetic_graph(30, 20, 120, key=Key(1))
    model = Model.of(graph, backbone=BACKBONE, text="trained:280")
    words = model.tokenizer
    assert words is not None
    stage = Stage(**STAGE)
    Trainer(seed=0).fit(model, graph, stage)
    assert model.usage is not None
    assert model.usage.linearizer["tokenizer"] is None  # the model's, wherever it is loaded
    assert model.usage.objectives["masked_language"]["vocabulary"] is None
    model.save_pretrained(tmp_path / "model")
    loaded = Model.from_pretrained(tmp_path / "model")
    there, here = Taught.of(loaded), Taught.of(model, stage)
    for taught in (there, here):
        assert isinstance(taught.linearizer, TextLinearizer)
        part = taught.objectives["masked_language"]
        assert isinstance(part, MaskedLanguage)
        assert part.vocabulary == len(words)
    assert texts(there, graph).id.tolist() == texts(here, graph).id.tolist()
    title = graph.tables["item"]["title"][0]
    assert words.decode(words.encode(title)) == title
