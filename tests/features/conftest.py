"""Items with a column of every kind, and another shop that knows other values."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from graphrec_pt.features.featurizer import Feature, featurizer
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.graph.spec import GraphSpec

ITEM = NodeType(
    name="item",
    columns={
        "title": "text",
        "note": "text",
        "color": "category",
        "brand": "category",
        "price": "number",
        "stars": "number",
        "look": "vector",
    },
    title="title",
)
BOUGHT = Relation(
    name="bought", source="user", target="item", inverse="bought_by", timed=True, interaction=True
)
BACK = Relation(
    name="bought_by", source="item", target="user", inverse="bought", backward=True, timed=True
)
SCHEMA = Schema(nodes=(NodeType(name="user"), ITEM), relations=(BOUGHT, BACK))

EVENTS = [(0, 0, 10), (0, 3, 20), (0, 1, 30), (0, 2, 40), (1, 2, 20), (1, 3, 10)]


def shop(columns: dict[str, list], events: list[tuple[int, int, int]]) -> Graph:
    """Return users and items; columns of the items by name, events of (user, item, time)."""
    items = len(columns["title"])
    user, item, time = np.array(events).T
    categories = {
        name: pl.Enum(sorted({value for value in columns[name] if value is not None}))
        for name in ("color", "brand")
    }
    table = pl.DataFrame(
        {"id": [f"i{n}" for n in range(items)], **columns},
        schema_overrides={
            **categories,
            "title": pl.String,
            "note": pl.String,
            "price": pl.Float32,
            "stars": pl.Float32,
            "look": pl.Array(pl.Float32, 2),
        },
    )
    users = pl.DataFrame({"id": [f"u{n}" for n in range(3)]})
    made = assemble(SCHEMA, [3, items], {"bought": EdgeList(user, item, time)})
    return Graph(SCHEMA, made.csr, {"user": users, "item": table}, {}, made.edge_offset)


@pytest.fixture(scope="session")
def graph() -> Graph:
    return shop(
        {
            "title": ["a red pen", "A Pen", None, "the blue cup of tea"],
            "note": ["new", None, "old pen", None],
            "color": ["red", "blue", None, "red"],
            "brand": ["acme", "acme", "zeta", "red"],
            "price": [1.0, 3.0, None, 8.0],
            "stars": [5.0, 5.0, 5.0, 5.0],
            "look": [[3.0, 4.0], [0.0, 1.0], None, [1.0, 0.0]],
        },
        EVENTS,
    )


@pytest.fixture(scope="session")
def other_graph() -> Graph:
    return shop(
        {
            "title": ["pen", "tea"],
            "note": [None, None],
            "color": ["green", "red"],
            "brand": ["zeta", None],
            "price": [3.0, 103.0],
            "stars": [1.0, 9.0],
            "look": [[1.0, 0.0], [0.0, 2.0]],
        },
        [(0, 0, 1), (2, 1, 5)],
    )


@pytest.fixture(scope="session")
def shop_of_titles():
    """Give a function from titles to a graph of items called so."""

    def make(titles):
        empty = {name: [None] * len(titles) for name in ITEM.columns}
        return shop({**empty, "title": titles}, [(0, 0, 1)])

    return make


@dataclass
class Built:
    feature: Feature

    def __call__(self, *nodes: int) -> Tensor:
        return self.feature(torch.tensor(nodes, dtype=torch.int64), _nothing)


def _nothing(nodes: Tensor) -> Tensor:
    raise AssertionError("this feature looks up no other node")


@pytest.fixture(scope="session")
def made():
    """Give a function from (graph, config) to a bound feature of the items, in eval mode."""

    def make(graph: Graph, config, *, width: int = 4, seed: int = 0, node_type: str = "item"):
        spec = GraphSpec.of(graph)
        feature = seeded(
            lambda: featurizer.build(config).build(spec, node_type, width), seed
        ).eval()
        feature.attach_graph(graph)
        return Built(feature)

    return make


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "pen", "the", "blue", "cup", "tea"]
WORDS += ["of", "new", "old"]


@pytest.fixture(scope="session")
def tokenizer():
    """Give a tokenizer of a few words, in the manner of BERT."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    numbered = {word: number for number, word in enumerate(WORDS)}
    words = Tokenizer(models.WordLevel(numbered, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]"
    )


@pytest.fixture(scope="session")
def tiny_bert():
    """Give a function from a seed to a BERT of random weights, 3 layers deep, 16 wide."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )

    def make(seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return BertModel(config).eval()

    return make
