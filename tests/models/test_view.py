import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


def encoded(*lengths, width=3):
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    tokens = Tokens.of(torch.arange(int(ptr[-1])), Kind.NODE, ptr)
    hidden = torch.arange(len(tokens.id) * width, dtype=torch.float32).view(-1, width)
    return Encoded(View(tokens), hidden.requires_grad_())


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [[3, 4, 5], [0, 0, 0], [10.5, 11.5, 12.5]]),
        ("first", [[0, 1, 2], [0, 0, 0], [9, 10, 11]]),
        ("last", [[6, 7, 8], [0, 0, 0], [12, 13, 14]]),
    ],
)
def test_pooling_by_hand(how, expected):
    found = encoded(3, 0, 2)
    pooled = found.pooled(how)
    assert pooled.tolist() == expected
    pooled.sum().backward()
    assert found.hidden.grad.sum() == pytest.approx(6)  # two sequences of width 3


@pytest.mark.parametrize("how", ["mean", "first", "last"])
@pytest.mark.parametrize("lengths", [(), (0,), (0, 0), (0, 2, 0)])
def test_pooling_of_nothing_is_zero(how, lengths):
    pooled = encoded(*lengths).pooled(how)
    assert pooled.shape == (len(lengths), 3)
    assert not pooled[[length == 0 for length in lengths]].any()


def test_an_empty_sequence_hides_no_broken_state():
    """A state that is not a number elsewhere does not leak into the zeros of an empty sequence."""
    found = encoded(0, 2)
    hidden = found.hidden.detach().clone().fill_(torch.nan)
    for how in ("first", "last", "mean"):
        assert Encoded(found.view, hidden).pooled(how)[0].tolist() == [0, 0, 0]


def test_unknown_pooling():
    with pytest.raises(GraphRecError, match=r"pooled: .* got 'men'; did you mean 'mean'\?"):
        encoded(2).pooled("men")


def test_moves_with_all_its_columns():
    tokens = encoded(2, 1).view.tokens
    view = View(tokens, "prefix", torch.tensor([1, 0, 0]), torch.tensor([1, 0]), two_stream=True)
    moved = view.to("meta")
    assert moved.tokens.id.device.type == moved.order.device.type == "meta"
    assert moved.prefix.device.type == "meta"
    assert (moved.mode, moved.two_stream) == ("prefix", True)
    assert View(tokens).to("cpu").order is None
