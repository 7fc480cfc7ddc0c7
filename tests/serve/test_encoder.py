"""A trained backbone as an encoder of texts in another model."""

from pathlib import Path

import torch

from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.serve.encoder import write_encoder
from graphrec_pt.testing.graphs import example_graph
from graphrec_pt.tokens.words import Words


def test_the_folder_is_an_encoder_of_texts(tmp_path: Path) -> None:
    """Its words, its tokenizer and its layers are those of the model."""
    graph = example_graph()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = {"model_type": "bert", "vocab_size": 320, "intermediate_size": 32, **sizes}
    backbone = {"name": "hugging_face", "model": bert, "words": True}
    model = Model.of(graph, backbone=backbone, text="trained:300").eval()
    files = write_encoder(model, tmp_path / "out")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in files}
    folder = str(tmp_path / "out")
    words = Words.of(folder)
    assert model.tokenizer is not None
    assert words.encode("red pen") == model.tokenizer.encode("red pen")
    spec = GraphSpec.of(graph)
    chosen = featurizer.build({"name": "text", "encoder": folder})
    feature = seeded(lambda: chosen.build(spec, "item", 8), 0).eval()
    feature.attach_graph(graph)
    title = graph.tables["item"]["title"][1]
    before, after = words.frame
    ids = torch.tensor([[*before, *words.encode(title), *after]])
    with torch.no_grad():
        x = torch.nn.functional.embedding(ids, model.words)
        states = model.backbone.get_submodule("model")(inputs_embeds=x).last_hidden_state
    given = feature.get_buffer("given")
    torch.testing.assert_close(given[1], states.mean(1)[0], atol=1e-5, rtol=1e-4)
