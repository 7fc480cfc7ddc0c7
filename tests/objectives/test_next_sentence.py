"""Next sentence: whose second segment it is, and columns that tell nothing."""

import math
from dataclasses import replace

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind
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


PAST = {"name": "history"}, {"name": "history", "root": True}


def build(**options):
    return objective.build({"name": "next_sentence", **options})


def test_segments_are_of_one_root_or_of_two(board, making):
    preparation = making.prepared(board, *PAST, torch.arange(16))
    alone = rows_of(making.examples(preparation, range(16)).tokens)  # user and seven items each
    found = []
    for epoch in range(6):
        examples = making.examples(preparation, range(16), epoch=epoch)
        corrupted = build().corrupt(examples)
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
    seen = build().corrupt(making.examples(preparation, range(16))).views[0].tokens
    one = telling(seen.select(0))
    assert all(telling(seen.select(n)) == one for n in range(16))
    assert set(one["time"]) == {NO_TIME}
    assert one["hop"] == [0, *[1] * 7]


def test_an_excluded_edge_is_passed_on(twins, making):
    exclude = torch.full((32,), -1)
    preparation = making.prepared(twins, *PAST, torch.arange(32), exclude)
    examples = making.examples(preparation, range(32))
    asked = []

    def again(roots, given):
        asked.append((roots, given))
        return examples.again(roots, given)

    build().corrupt(replace(examples, again=again))
    ((roots, given),) = asked
    assert given.tolist() == [-1] * len(roots)


def test_sets_have_no_other(board, written):
    examples = replace(written(board, histories([1, 2])), roots=Sets.of([[0, 1]]))
    with pytest.raises(GraphRecError, match="nodes or pairs as roots, got sets"):
        build().corrupt(examples)


def test_hand_computed(board, making):
    preparation = making.prepared(
        board, {"name": "history", "window": 3}, {"name": "history"}, torch.arange(16)
    )
    for epoch in range(9):
        corrupted = build().corrupt(making.examples(preparation, [4], epoch=epoch))
        chosen, first, second = build(), corrupted.targets["first"], corrupted.targets["second"]
        assert (first.tolist(), second.tolist()) == ([0, 1], [2])
        head = seeded(lambda: build().head(None, 2), 0).double()
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
