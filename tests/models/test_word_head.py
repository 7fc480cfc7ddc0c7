"""The words of a model: one tokenizer, one table, in and out."""

from pathlib import Path
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.models.save import TEXT
from graphrec_pt.models.transfer import transfer
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.stored import TOKENIZER, StoredTokenizer
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.trained import train_words

TINY: dict[str, Any] = {"name": "graph_transformer", "width": 8, "heads": 1, "layers": 1}
BERT: dict[str, Any] = {
    "name": "hugging_face",
    "model": {
        "model_type": "bert",
        "vocab_size": 400,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "max_position_embeddings": 32,
    },
    "structure": {},
    "words": True,
}


def test_a_trained_vocabulary_goes_with_the_model(graph: Graph, tmp_path: Path) -> None:
    model = Model.of(graph, backbone=TINY, text="trained:300")
    words = model.tokenizer
    assert words is not None
    assert words.tokenizer is train_words(graph, 300).tokenizer
    assert model.words is model.embedding.text.weight  # type: ignore[union-attr]
    assert model.num_words == len(words)
    model.save_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")  # in place of a saved one
    loaded = Model.from_pretrained(tmp_path / "model")
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.encode("a red pen") == words.encode("a red pen")
    assert torch.equal(loaded.words, model.words)
    there, _ = transfer(loaded, graph)
    assert there.tokenizer is loaded.tokenizer
    assert torch.equal(there.words, model.words)


def test_a_damaged_tokenizer_is_one_line(graph: Graph, tmp_path: Path) -> None:
    Model.of(graph, backbone=TINY, text="trained:300").save_pretrained(tmp_path / "model")
    (tmp_path / "model" / TEXT / TOKENIZER).write_text("{}")
    with pytest.raises(GraphRecError, match=r"tokenizer.json: expected the file that was saved"):
        Model.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / TEXT / TOKENIZER).unlink()
    with pytest.raises(GraphRecError, match=r"tokenizer.json: expected a file of the model"):
        Model.from_pretrained(tmp_path / "model")


def test_hashed_words_need_no_file(graph: Graph, tmp_path: Path) -> None:
    model = Model.of(graph, backbone=TINY, text="hashed:64")
    assert model.num_words == 64
    model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / TEXT).exists()
    assert len(Model.from_pretrained(tmp_path / "model").tokenizer or ()) == 64


def test_the_backbone_has_the_only_table(graph: Graph) -> None:
    model = Model.of(graph, backbone=BERT, text="trained:300")
    assert model.embedding.text is None
    assert model.words is model.backbone.words.weight  # type: ignore[union-attr]
    assert model.num_words == 400
    query, table, bias = model.word_sides(hidden := torch.ones(2, 8))
    assert not torch.equal(query, hidden)  # the head of BERT transforms it
    assert table is model.words
    assert bias is model.backbone.word_head.bias  # type: ignore[union-attr]
    plain = Model.of(graph, backbone=TINY, text="trained:300")
    query, table, bias = plain.word_sides(hidden)
    assert query is hidden
    assert table is plain.words
    assert bias is None


def test_a_second_table_is_refused(graph: Graph) -> None:
    with pytest.raises(GraphRecError, match=r"no text size beside a backbone with words: true"):
        Model.of(graph, backbone=BERT, text=400)


def test_a_tokenizer_must_fit_the_words_of_the_backbone(graph: Graph) -> None:
    with pytest.raises(GraphRecError, match=r"a tokenizer of at most 400 tokens.*512 of hashed"):
        Model.of(graph, backbone=BERT, text="hashed:512")


def test_the_tokenizer_in_the_folder_of_the_backbone(graph: Graph, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**BERT["model"])).save_pretrained(tmp_path / "bert")
    stored = StoredTokenizer.of(train_words(graph, 300).tokenizer)
    assert stored is not None
    (tmp_path / "whole").mkdir()
    for path in (tmp_path / "bert").iterdir():
        path.rename(tmp_path / "whole" / path.name)
    stored.save(tmp_path / "tokenizer")
    for path in (tmp_path / "tokenizer").iterdir():
        path.rename(tmp_path / "whole" / path.name)
    backbone = {**BERT, "model": str(tmp_path / "whole")}
    model = Model.of(graph, backbone=backbone, text="backbone")
    assert model.tokenizer is not None
    assert isinstance(model.tokenizer.tokenizer, StoredTokenizer)
    assert model.tokenizer.encode("a red pen") == stored.encode("a red pen")
    assert model.tokenizer.decode(model.tokenizer.encode("a red pen")) == "a red pen"
    with pytest.raises(GraphRecError, match="a backbone in a folder that holds its tokenizer"):
        Model.of(graph, backbone=TINY, text="backbone")


def test_a_model_without_words_says_how_to_get_some(graph: Graph) -> None:
    model = Model.of(graph, backbone=TINY)
    assert (model.num_words, model.tokenizer) == (0, None)
    with pytest.raises(GraphRecError, match=r"a table of words, got none.*text: trained:8000"):
        _ = model.words


def test_a_vocabulary_needs_a_graph(graph: Graph) -> None:
    config = ModelConfig(backbone=TINY, text="trained:300")
    with pytest.raises(GraphRecError, match="a graph to fit the vocabulary on"):
        Model(config, GraphSpec.of(graph))


def test_node_vectors_stand_beside_the_words_of_a_backbone(graph: Graph, tmp_path: Path) -> None:
    model = Model.of(graph, backbone=BERT, text="trained:300")
    ids = torch.arange(graph.num_nodes())
    tokens = Tokens.of(ids, Kind.NODE, torch.tensor([0, len(ids)]))
    words = model.words.norm(dim=1).mean().detach()

    def norm(of: Model) -> Any:
        return of.embedding(tokens, of.features).norm(dim=1).mean().detach()

    assert float(norm(model)) == pytest.approx(float(words), rel=1e-4)  # all types are small
    assert float(model.nodes(ids).norm(dim=1).mean().detach()) != pytest.approx(
        float(words), rel=1e-2
    )
    gain = model.embedding.gain
    assert isinstance(gain, torch.nn.Parameter)
    gain.data.mul_(3)  # as if it were trained
    model.save_pretrained(tmp_path / "model")
    loaded = Model.from_pretrained(tmp_path / "model").attach_graph(graph)
    there, _ = transfer(loaded, graph)
    for other in (loaded, there):
        assert float(norm(other)) == pytest.approx(3 * float(words), rel=1e-4)
    assert Model.of(graph, backbone=TINY, text="trained:300").embedding.gain is None


def test_special_tokens_are_those_of_the_backbone(graph: Graph) -> None:
    model = Model.of(graph, backbone=BERT, text="trained:300")  # <pad> 0, <bos> 1, <eos> 2
    ids = torch.tensor([Special.BOS, Special.EOS, Special.MASK, Special.BOS])
    tokens = Tokens.of(ids, Kind.SPECIAL, torch.tensor([0, 4]))
    vectors = model.embedding(tokens, model.features, model.backbone.text_embedding)
    expected = torch.stack(
        [model.words[1], model.words[2], model.embedding.special.weight[1], model.words[1]]
    )
    assert torch.equal(vectors, expected)
    vectors.sum().backward()
    assert model.words.grad is not None
    assert float(model.words.grad[1].sum()) == 2 * 8


def test_the_answer_of_a_decoder_begins_as_the_backbone_does(graph: Graph) -> None:
    model = {"model_type": "t5", "vocab_size": 400, "d_model": 8, "d_kv": 8, "num_layers": 1}
    made = Model.of(graph, backbone={**BERT, "model": model}, text="trained:300")
    assert made.embedding.rows[Special.BOS] == 0  # the padding of T5
    assert made.embedding.rows[Special.EOS] == 2
