import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.models.token_embedding import (
    COLUMNS,
    GAPS,
    TokenEmbedding,
    sizes_of,
    structure_of,
)
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


@pytest.fixture
def spec(graph):
    return GraphSpec.of(graph)


@pytest.fixture
def embedding(spec):
    return seeded(lambda: TokenEmbedding(spec, 4, text=7, prompts=2), 0)


def nodes(ids):
    """Give every node a vector that tells who it is."""
    return ids.unsqueeze(1).float().expand(-1, 4) + 100


def tokens(*rows, **columns):
    kind, ids = torch.tensor(rows, dtype=torch.int64).view(-1, 2).T
    return Tokens.of(ids.clone(), kind.clone(), torch.tensor([0, len(ids)]), **columns)


def test_every_kind_has_its_table(embedding):
    batch = tokens(
        (Kind.SPECIAL, Special.MASK),
        (Kind.NODE, 5),
        (Kind.TEXT, 6),
        (Kind.RELATION, 1),
        (Kind.PROMPT, 1),
        (Kind.NODE, 0),
        (Kind.SPECIAL, Special.CLS),
    )
    expected = torch.stack(
        [
            embedding.special.weight[Special.MASK],
            torch.full((4,), 105.0),
            embedding.text.weight[6],
            embedding.relation.weight[1],
            embedding.prompt.weight[1],
            torch.full((4,), 100.0),
            embedding.special.weight[Special.CLS],
        ]
    )
    found = embedding(batch, nodes)
    assert torch.equal(found, expected)
    found.sum().backward()
    assert embedding.relation.weight.grad.any(1).nonzero().flatten().tolist() == [1]


def test_one_kind_and_none(embedding):
    assert embedding(tokens((Kind.NODE, 3), (Kind.NODE, 4)), nodes)[:, 0].tolist() == [103, 104]
    assert embedding(tokens(), nodes).shape == (0, 4)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.PROMPT])
def test_tokens_without_a_table(spec, kind):
    bare = seeded(lambda: TokenEmbedding(spec, 4), 0)
    name = kind.name.lower()
    with pytest.raises(GraphRecError, match=f"expected no {name} tokens, got 1 of them"):
        bare(tokens((Kind.NODE, 1), (kind, 0)), nodes)


def test_structure_is_the_columns_of_the_tokens():
    time = torch.tensor([NO_TIME, 10, 17, 17])
    batch = Tokens.of(
        torch.arange(4),
        Kind.NODE,
        torch.tensor([0, 1, 4]),
        time=time,
        hop=torch.tensor([0, 0, 1, 2]),
        word=torch.tensor([0, 0, 1, 1]),
    )
    found = structure_of(batch, COLUMNS)
    assert tuple(found) == COLUMNS
    assert found["hop"] is batch.hop
    assert found["position"].tolist() == [0, 0, 1, 2]
    assert found["gap"].tolist() == [-1, -1, 3, 0]  # ⌊log₂(1 + 7)⌋, ⌊log₂(1 + 0)⌋
    assert structure_of(batch, ()) == {}


def test_columns_that_are_not_there():
    with pytest.raises(GraphRecError, match="did you mean 'position'"):
        structure_of(tokens((Kind.NODE, 1)), ["positon"])
    with pytest.raises(GraphRecError, match="expected tokens with 'word', got none"):
        structure_of(tokens((Kind.NODE, 1)), ["word"])


def test_sizes(spec):
    asked = {"type": None, "relation": None, "kind": None, "gap": None, "slot": 3, "hop": 2}
    assert sizes_of(asked, spec) == {
        "type": len(spec.nodes),
        "relation": len(spec.relations),
        "kind": len(Kind),
        "gap": GAPS,
        "slot": 3,
        "hop": 2,
    }
    assert sizes_of({"type": 40}, spec) == {"type": 40}
    with pytest.raises(GraphRecError, match="did you mean 'relation'"):
        sizes_of({"relaton": 2}, spec)
    with pytest.raises(GraphRecError, match="a size of 'slot', got none; try slot: 64"):
        sizes_of({"slot": None}, spec)


def test_words_of_a_backbone_stand_in_for_the_text_table(graph):
    tokens = Tokens.of(torch.tensor([2, 0]), Kind.TEXT, torch.tensor([0, 2]))
    words = torch.nn.Embedding(3, 4)
    embedding = TokenEmbedding(GraphSpec.of(graph), 4)
    with pytest.raises(GraphRecError, match="no text tokens"):
        embedding(tokens, lambda nodes: nodes)
    found = embedding(tokens, lambda nodes: nodes, words)
    assert torch.equal(found, words.weight[[2, 0]])
