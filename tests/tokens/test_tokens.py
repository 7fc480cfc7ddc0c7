"""The packed batch: what it refuses, and that taking it apart and together is lossless."""

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.tokens.join import concat, framed, merged, side_by_side, specials
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.tokens import Tokens, same


def example() -> Tokens:
    """Return three sequences of 3, 0 and 2 tokens with edges."""
    return Tokens.of(
        torch.tensor([10, 11, 12, 20, 21]),
        Kind.NODE,
        torch.tensor([0, 3, 3, 5]),
        parent=torch.tensor([-1, 0, 1, -1, 0]),
        relation=torch.tensor([-1, 5, 6, -1, 7]),
        edges=torch.tensor([[3, 1, 4], [0, 2, 2], [1, 3, 2]]),
    )


@st.composite
def batches(draw: st.DrawFn) -> Tokens:
    lengths = torch.tensor(draw(st.lists(st.integers(0, 4), max_size=5)), dtype=torch.int64)
    ptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    total = int(ptr[-1])
    place = [at for n in lengths.tolist() for at in range(n)]
    parent = [draw(st.integers(-1, at - 1)) for at in place]
    ids = [draw(st.integers(0, 9)) for _ in range(total)]
    ends = [
        (first + draw(st.integers(0, n - 1)), 0, first + draw(st.integers(0, n - 1)))
        for first, n in zip(ptr.tolist(), lengths.tolist(), strict=False)
        if n
    ]
    return Tokens.of(
        torch.tensor(ids, dtype=torch.int64),
        Kind.NODE,
        ptr,
        parent=torch.tensor(parent, dtype=torch.int64),
        edges=torch.tensor(ends, dtype=torch.int64).reshape(-1, 3),
    )


def test_neutral_columns() -> None:
    tokens = Tokens.of(torch.tensor([4, 5, 6]), Kind.TEXT, torch.tensor([0, 1, 3]))
    assert len(tokens) == 2
    assert tokens.position.tolist() == [0, 0, 1]
    assert tokens.kind.tolist() == [2, 2, 2]
    assert tokens.labels.tolist() == [IGNORE] * 3
    assert tokens.time.tolist() == [NO_TIME] * 3
    assert tokens.edges is None


def test_sequences_and_places() -> None:
    tokens = example()
    assert tokens.sequence_of().tolist() == [0, 0, 0, 2, 2]
    assert tokens.places().tolist() == [0, 1, 2, 0, 1]
    assert tokens.parents().tolist() == [-1, 0, 1, -1, 3]
    assert tokens.lengths().tolist() == [3, 0, 2]
    assert tokens.triples().tolist() == [[10, 5, 11], [11, 6, 12], [20, 7, 21]]
    ids, sequence = tokens.nodes()
    assert ids.tolist() == [10, 11, 12, 20, 21]
    assert sequence.tolist() == [0, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slot": torch.zeros(4, dtype=torch.int64)}, r"slot as int64 \[5\], got .*\[4\]"),
        ({"time": torch.zeros(5)}, r"time as int64 \[5\], got torch.float32"),
        ({"ptr": torch.tensor([0, 3, 2, 5])}, "ptr ascending from 0 to 5"),
        ({"ptr": torch.tensor([0, 3, 3, 4])}, r"ptr ascending from 0 to 5, got \[0, 4\]"),
        ({"kind": torch.tensor([0, 0, 9, 0, 0])}, "kind of NODE, .* got 9 at token 2"),
        ({"id": torch.tensor([0, 0, -1, 0, 0])}, "id >= 0, got -1 at token 2"),
        ({"parent": torch.tensor([-1, 0, 3, -1, 0])}, "parent inside its sequence, got 3 at"),
        ({"edges": torch.tensor([[0, 1, 4]])}, "edges inside sequences"),
        ({"edges": torch.tensor([[0, 1, 5]])}, "edges inside sequences"),
        ({"edges": torch.tensor([[-1, 1, 0]])}, "edges inside sequences"),
        ({"parent": torch.tensor([-1, 0, -2, -1, 0])}, "parent inside its sequence, got -2 at"),
        ({"edges": torch.tensor([[0, 1]])}, r"edges as int64 \[1, 3\]"),
    ],
)
def test_arrays_that_do_not_fit(changes: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        replace(example(), **changes)


def test_select_by_hand() -> None:
    tokens = example().select(torch.tensor([2, 0, 2]))
    assert tokens.ptr.tolist() == [0, 2, 5, 7]
    assert tokens.id.tolist() == [20, 21, 10, 11, 12, 20, 21]
    assert tokens.parent.tolist() == [-1, 0, -1, 0, 1, -1, 0]
    assert tokens.edges is not None
    assert tokens.edges.tolist() == [[0, 1, 1], [2, 2, 4], [3, 3, 4], [5, 1, 6]]
    assert len(example().select(1).id) == 0


def test_select_of_all_is_the_same() -> None:
    tokens = replace(example(), edges=None)
    assert same(tokens.select(torch.arange(3)), tokens)
    assert tokens.select(torch.tensor([0, 2, 1])).ptr.tolist() == [0, 3, 5, 5]


def test_take_by_hand() -> None:
    tokens = example().take(torch.tensor([2, 0, 4]))  # 12 before 10, 20 gone
    assert tokens.ptr.tolist() == [0, 2, 2, 3]
    assert tokens.id.tolist() == [12, 10, 21]
    assert tokens.parent.tolist() == [-1, -1, -1]  # 11, nothing, 20
    assert tokens.edges is not None
    assert tokens.edges.tolist() == [[1, 2, 0]]
    other = example().take(torch.tensor([1, 0, 2]))
    assert other.parent.tolist() == [1, -1, 0]


def test_padded_by_hand() -> None:
    index, mask = example().padded()
    assert index.tolist() == [[0, 1, 2], [0, 0, 0], [3, 4, 0]]
    assert mask.tolist() == [[True] * 3, [False] * 3, [True, True, False]]
    assert example().padded(5)[0].shape == (3, 5)
    with pytest.raises(GraphRecError, match="sequences of at most 2 tokens, got 3"):
        example().padded(2)


@settings(deadline=None, max_examples=20)
@given(batches())
def test_padding_and_back(tokens: Tokens) -> None:
    index, mask = tokens.padded()
    if len(tokens.id):
        assert torch.equal(tokens.id[index][mask], tokens.id)
    assert torch.equal(mask.sum(1), tokens.lengths())


@settings(deadline=None, max_examples=20)
@given(batches(), batches())
def test_concat_and_select_are_inverse(a: Tokens, b: Tokens) -> None:
    both = concat([a, b])
    cut = [both.select(torch.arange(len(a))), both.select(torch.arange(len(a), len(both)))]
    for part, whole in zip(cut, (a, b), strict=True):
        assert same(part, whole)
    for row in range(len(a)):
        assert same(both.select(row), a.select(row))


@settings(deadline=None, max_examples=20)
@given(batches())
def test_side_by_side_keeps_each_part(tokens: Tokens) -> None:
    wide = framed(tokens, Special.BOS, Special.EOS)
    assert torch.equal(wide.lengths(), tokens.lengths() + 2)
    inner = wide.take((wide.kind == Kind.NODE).nonzero().squeeze(1))
    assert same(replace(inner, position=inner.position - 1), tokens)
    ends = wide.id[wide.kind == Kind.SPECIAL].view(-1, 2)
    assert torch.equal(ends, torch.tensor([[2, 3]]).expand(len(tokens), 2))
    twice = side_by_side([tokens, tokens])
    for row in range(len(tokens)):
        mine = tokens.select(row)
        assert twice.select(row).id.tolist() == mine.id.tolist() * 2
        count, parents = len(mine.id), mine.parent.tolist()
        moved = [p + count if p >= 0 else -1 for p in parents]
        assert twice.select(row).parent.tolist() == parents + moved


def test_merged_by_hand() -> None:
    tokens = merged(example(), torch.tensor([0, 2, 2]), 4)
    assert tokens.ptr.tolist() == [0, 3, 3, 5, 5]
    tokens = merged(example(), torch.tensor([1, 1, 1]), 2)
    assert tokens.ptr.tolist() == [0, 0, 5]
    assert tokens.parent.tolist() == [-1, 0, 1, -1, 3]
    assert tokens.position.tolist() == [0, 1, 2, 3, 4]


def test_words_survive_parts_without_any() -> None:
    worded = replace(example(), word=torch.tensor([0, 1, 2, 0, 1]))
    assert framed(worded, Special.CLS).word.tolist() == [-1, 0, 1, 2, -1, -1, 0, 1]
    assert concat([example(), worded]).word.tolist() == [-1] * 5 + [0, 1, 2, 0, 1]


def test_parts_that_do_not_fit() -> None:
    with pytest.raises(GraphRecError, match="parts with as many sequences"):
        side_by_side([example(), specials(Special.CLS, 2)])
    with pytest.raises(GraphRecError, match="edges in every batch"):
        concat([example(), replace(example(), edges=None)])
    with pytest.raises(GraphRecError, match="at least one"):
        concat([])


def test_same_sees_every_column() -> None:
    assert same(example(), example())
    assert not same(example(), replace(example(), edges=None))
    for name in ("id", "kind", "type", "slot", "position", "hop", "relation", "time", "labels"):
        column = getattr(example(), name).clone()
        column[3] = 1 if int(column[3]) != 1 else 2
        assert not same(example(), replace(example(), **{name: column})), name


def test_other_devices() -> None:
    assert same(example().to("cpu"), example())
    meta = example().to("meta")
    assert meta.id.device.type == "meta"
    assert meta.edges is not None
    assert meta.edges.shape == (3, 3)


def test_batches_travel_between_processes() -> None:
    tokens = example()
    tokens.sequence_of()  # kept, once asked for
    travelled = pickle.loads(pickle.dumps(tokens))
    assert same(travelled, tokens)
    assert travelled.sequence_of().tolist() == [0, 0, 0, 2, 2]
    other = replace(tokens, ptr=torch.tensor([0, 1, 5]), edges=None)
    assert other.sequence_of().tolist() == [0, 1, 1, 1, 1]
