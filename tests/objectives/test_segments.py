"""Order of events, order of segments, and whether one continues another."""

import math
from dataclasses import replace

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row])
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones, time=torch.arange(len(ids)))


def rows_of(tokens):
    return [tokens.select(n).id.tolist() for n in range(len(tokens))]


def telling(tokens):
    """Return the columns that could tell of an order, beside the ids."""
    names = ("position", "hop", "parent", "slot", "time", "labels", "word")
    found = {name: getattr(tokens, name) for name in names}
    return {name: None if value is None else value.tolist() for name, value in found.items()}


def build(**options):
    return objective.build({"name": "rearranged", **options})


def test_half_of_the_sequences_are_permuted(board, written):
    tokens = histories(*[[1, 2, 3, 4, 5]] * 300, [7], [4, 4])
    corrupted = build().corrupt(written(board, tokens))
    seen, label = corrupted.views[0].tokens, corrupted.targets["label"]
    assert corrupted.count == 301
    orders = set()
    for row, moved in zip(rows_of(seen)[:300], label.tolist(), strict=False):
        assert sorted(row) == [17, 18, 19, 20, 21]
        assert (row != [17, 18, 19, 20, 21]) == moved
        orders.add(tuple(row))
    assert not bool(label[300])  # twice the same item has no other order
    assert 110 < int(label.sum()) < 190
    assert len(orders) > 70  # of 120


def test_text_relations_and_roots_keep_their_places(board, written):
    # user, (relation, item, letter) three times, EOS
    ids = torch.tensor([3, *[n for k in range(3) for n in (k, 17 + k, 90 + k)], Special.EOS])
    unit = [Kind.RELATION, Kind.NODE, Kind.TEXT]
    kind = torch.tensor([Kind.NODE, *unit * 3, Kind.SPECIAL])
    tokens = Tokens.of(
        ids,
        kind,
        torch.tensor([0, 11]),
        hop=torch.tensor([0, *[k for k in (1, 2, 3) for _ in range(3)], -1]),
        parent=torch.tensor([-1, 0, 0, 2, 2, 2, 5, 5, 5, 8, -1]),
        slot=torch.arange(11),
        time=torch.arange(11),
        word=torch.tensor([0, -1, 1, 1, -1, 2, 2, -1, 3, 3, -1]),
    )
    columns, orders = [], set()
    for seed in range(30):
        seen = build().corrupt(written(board, tokens, seed)).views[0].tokens
        assert torch.equal(seen.kind, kind)
        assert int(seen.id[0]) == 3
        units = seen.id[1:10].reshape(3, 3)
        assert (units - units[:, :1]).tolist() == [[0, 17, 90]] * 3
        orders.add(tuple(units[:, 0].tolist()))
        columns.append(telling(seen))
    assert len(orders) == 6
    assert all(each == columns[0] for each in columns)  # rearranged or not
    assert columns[0]["word"] == tokens.word.tolist()
    assert set(columns[0]["time"]) == {NO_TIME}


def test_states_of_equal_items_say_nothing(board, written):
    """With every item alike, no column is left that the model could tell the order by."""
    tokens = histories(*[[1, 2, 3, 4]] * 20)
    corrupted = build().corrupt(written(board, tokens))
    structure = {"position": 16, "hop": 4, "parent": 16, "slot": 16, "gap": None}
    model = Model.of(board, backbone=GraphTransformer(width=8, dropout=0.0, structure=structure))
    for parameter in model.features.parameters():
        parameter.data.fill_(0.5)
    pooled = model.encode(corrupted.views[0]).pooled()
    assert corrupted.targets["label"].unique().tolist() == [False, True]
    assert torch.allclose(pooled, pooled[:1].expand_as(pooled), atol=1e-6)


def test_hand_computed(board, written):
    chosen = build()
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9], [2, 3])))
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head.transform = torch.nn.Identity()
    head.out.weight.data.copy_(torch.tensor([[1.0, -1]]))
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 1], [1, 1]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    expected = 0.0
    for logit, moved in zip([2 - 1 / 3, 0.5 - 1], corrupted.targets["label"].tolist(), strict=True):
        expected += math.log(1 + math.exp(-logit if moved else logit)) / 2
    assert float(loss(hidden).detach()) == pytest.approx(expected)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_learns_the_order_of_twins(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "rearranged", "rearranged": 0.9}
    # Half of the drawn orders of two are the old one: .45 of the sequences are rearranged.
    chance = -0.55 * math.log(0.55) - 0.45 * math.log(0.45)
    team = [user for user, team in enumerate(twins.tables["user"]["team"]) if team == "a"]
    many, placed = torch.tensor(team).repeat(8), {"position": 8}
    found = fit(twins, chosen, *past, many, steps=50, batch=128, rate=2e-2, structure=placed)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.2 * chance


def sentence_order(**options):
    return objective.build({"name": "sentence_order", **options})


def test_halves_are_swapped(board, written):
    tokens = histories(*[[1, 2, 3, 4, 5]] * 200, [7], [])
    corrupted = sentence_order().corrupt(written(board, tokens))
    seen, at = corrupted.views[0].tokens, corrupted.targets
    assert corrupted.count == 200  # of two events or more
    order, swapped = [17, 18, 19, 20, 21], [20, 21, 17, 18, 19]
    for row, label in zip(rows_of(seen), at["label"].tolist(), strict=True):
        assert row == (order if label else swapped)
    assert 70 < int(at["label"].sum()) < 130
    size = torch.bincount(seen.sequence_of()[at["first"]])
    assert torch.equal(size, torch.where(at["label"], 3, 2))  # what stands first
    assert sorted([*at["first"].tolist(), *at["second"].tolist()]) == list(range(1000))


def test_sep_divides_and_roots_stay(board, written):
    ids = torch.tensor([Special.CLS, 3, 17, Special.SEP, 18, 19, Special.EOS])
    kinds = [Kind.SPECIAL, Kind.NODE, Kind.NODE, Kind.SPECIAL, Kind.NODE, Kind.NODE, Kind.SPECIAL]
    hop = torch.tensor([-1, 0, 1, -1, 1, 1, -1])
    tokens = Tokens.of(ids, torch.tensor(kinds), torch.tensor([0, 7]), hop=hop)
    found = set()
    for seed in range(12):
        corrupted = sentence_order().corrupt(written(board, tokens, seed))
        found.add(tuple(corrupted.views[0].tokens.id.tolist()))
        swapped = not bool(corrupted.targets["label"][0])
        assert corrupted.targets["first"].tolist() == ([2, 3] if swapped else [2])
    assert found == {tuple(ids.tolist()), (Special.CLS, 3, 18, 19, Special.SEP, 17, Special.EOS)}


def test_columns_do_not_tell_the_order(board, written):
    ids = torch.tensor([3, 17, 97, 18, 98])
    kinds = torch.tensor([Kind.NODE, Kind.NODE, Kind.TEXT, Kind.NODE, Kind.TEXT])
    tokens = Tokens.of(
        ids,
        kinds,
        torch.tensor([0, 5]),
        hop=torch.tensor([0, 1, 1, 2, 2]),
        parent=torch.tensor([-1, 0, 1, 1, 3]),
        slot=torch.tensor([0, 1, 1, 2, 2]),
        time=torch.tensor([NO_TIME, 10, 10, 20, 20]),
        word=torch.tensor([0, 1, 1, 2, 2]),
    )
    views = {}
    for seed in range(12):
        corrupted = sentence_order().corrupt(written(board, tokens, seed))
        views[bool(corrupted.targets["label"][0])] = corrupted.views[0].tokens
    assert views[False].id.tolist() == [3, 18, 98, 17, 97]
    assert telling(views[True]) == telling(views[False])
    assert (
        telling(views[True])["parent"] == [-1, 0, -1, 0, -1]
        or telling(views[True])["time"] == [NO_TIME] * 5
    )


def test_hand_computed_of_sentence_order(board, written):
    chosen = sentence_order()
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9])))
    first, second = corrupted.targets["first"], corrupted.targets["second"]
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head.transform = torch.nn.Identity()
    weight = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7, 8]]).double() / 10
    head.out = torch.nn.Linear(8, 1, bias=False)
    head.out.weight.data = weight
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    a = [sum(hidden[n, d] for n in first) / len(first) for d in range(2)]
    b = [sum(hidden[n, d] for n in second) / len(second) for d in range(2)]
    joint = [*a, *b, a[0] * b[0], a[1] * b[1], abs(a[0] - b[0]), abs(a[1] - b[1])]
    logit = sum(float(w) * float(x) for w, x in zip(weight[0], joint, strict=True))
    sign = 1 if bool(corrupted.targets["label"][0]) else -1
    assert float(loss(hidden).detach()) == pytest.approx(math.log(1 + math.exp(-sign * logit)))
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_learns_the_order_of_twins_of_sentence_order(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    found = fit(
        twins, "sentence_order", *past, torch.arange(32), steps=60, structure={"position": 8}
    )
    assert found.losses[0] > 0.8 * math.log(2)
    assert found.last < 0.2 * math.log(2)


PAST = {"name": "history"}, {"name": "history", "root": True}


def next_sentence(**options):
    return objective.build({"name": "next_sentence", **options})


def test_segments_are_of_one_root_or_of_two(board, making):
    preparation = making.prepared(board, *PAST, torch.arange(16))
    alone = rows_of(making.examples(preparation, range(16)).tokens)  # user and seven items each
    found = []
    for epoch in range(6):
        examples = making.examples(preparation, range(16), epoch=epoch)
        corrupted = next_sentence().corrupt(examples)
        assert corrupted.count == 16
        labels = corrupted.targets["label"].tolist()
        for n, (row, own) in enumerate(
            zip(rows_of(corrupted.views[0].tokens), labels, strict=True)
        ):
            assert row[:5] == alone[n][:5]
            whose = [user for user in range(16) if row[5:] == alone[user][5:]]
            assert whose
            assert (n in whose) == own
            found += [] if own else whose
    assert len(set(found)) > 10  # of 16
    assert 0.35 < len(found) / 96 < 0.65


def test_columns_do_not_tell_whose_it_is(board, making):
    preparation = making.prepared(board, *PAST, torch.arange(16))
    seen = next_sentence().corrupt(making.examples(preparation, range(16))).views[0].tokens
    one = telling(seen.select(0))
    assert all(telling(seen.select(n)) == one for n in range(16))
    assert set(one["time"]) == {NO_TIME}
    assert one["hop"] == [0, *[1] * 7]


def test_an_excluded_edge_is_passed_on(twins, making):
    exclude = torch.full((32,), -1)
    preparation = making.prepared(twins, *PAST, torch.arange(32), exclude)
    examples = making.examples(preparation, range(32))
    asked = []

    def resample(roots, given):
        asked.append((roots, given))
        return examples.resample(roots, given)

    next_sentence().corrupt(replace(examples, resample=resample))
    ((roots, given),) = asked
    assert given.tolist() == [-1] * len(roots)


def test_sets_have_no_other(board, written):
    examples = replace(written(board, histories([1, 2])), roots=Sets.of([[0, 1]]))
    with pytest.raises(GraphRecError, match="nodes or pairs as roots, got sets"):
        next_sentence().corrupt(examples)


def test_hand_computed_of_next_sentence(board, making):
    preparation = making.prepared(
        board, {"name": "history", "window": 3}, {"name": "history"}, torch.arange(16)
    )
    for epoch in range(9):
        corrupted = next_sentence().corrupt(making.examples(preparation, [4], epoch=epoch))
        chosen, first, second = (
            next_sentence(),
            corrupted.targets["first"],
            corrupted.targets["second"],
        )
        assert (first.tolist(), second.tolist()) == ([0, 1], [2])
        head = seeded(lambda: next_sentence().head(None, 2), 0).double()
        head.transform = torch.nn.Identity()
        weight = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7, 8]]).double() / 10
        head.out = torch.nn.Linear(8, 1, bias=False)
        head.out.weight.data = weight
        hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2]]).double()
        loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, None, head)
        # Means (2, −.5) and (2, 2), product (4, −1), distance (0, 2.5).
        logit = 0.2 - 0.1 + 0.6 + 0.8 + 2.0 - 0.6 + 0.0 + 2.0
        sign = 1 if bool(corrupted.targets["label"][0]) else -1
        assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(-sign * logit)))


def test_learns_which_belong_together(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    found = fit(twins, "next_sentence", *past, torch.arange(32), steps=120)
    # Three of 31 others have the same twins, so an honest mistake is left.
    assert found.losses[0] > 0.8 * math.log(2)
    assert found.last < 0.5 * math.log(2)
