import numpy as np
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32, permutation, philox

ONES, ZERO = 0xFFFFFFFF, 0
# Known answers published with Random123 (philox4x32, ten rounds).
KNOWN = [
    ((ZERO, ZERO), (ZERO,) * 4, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((ONES, ONES), (ONES,) * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
def test_random123_vectors(key: tuple[int, int], counter: tuple[int, ...], words: str) -> None:
    c0, c1, c2, c3 = (np.array(c, np.uint32) for c in counter)
    assert [f"{w:08x}" for w in philox(key, (c0, c1, c2, c3))] == words.split()


def test_a_draw_is_the_word_its_number_names() -> None:
    key = Key(seed=5 | 7 << 32, epoch=3, stream=11)
    block = philox((5, 7), tuple(np.array(c, np.uint32) for c in (42, 2, 11, 3)))  # type: ignore[arg-type]
    assert [int(draw32(key, 42, 8 + lane)) for lane in range(4)] == block.tolist()


def test_draws_do_not_depend_on_company() -> None:
    key = Key(1)
    together = draw32(key, np.arange(100), 5)
    assert together[17] == draw32(key, 17, 5)
    assert (draw32(key, np.arange(100)[::-1], 5) == together[::-1]).all()


def test_streams_and_epochs_differ() -> None:
    key = Key(1)
    others = [key.named("walk"), key.named("mask"), key.at_epoch(1), Key(2)]
    draws = [tuple(draw32(k, np.arange(8))) for k in [key, *others]]
    assert len(set(draws)) == len(draws)
    assert key.named("walk") == key.named("walk")
    assert key.named("a").named("b") != key.named("b").named("a")


def test_permutation_is_a_uniform_permutation() -> None:
    assert sorted(permutation(Key(3), 1000).tolist()) == list(range(1000))
    assert permutation(Key(3), 0).tolist() == []
    # Each of the 24 orders of four items about equally often: chi-square, 23 degrees, p = 1e-6.
    orders: dict[tuple[int, ...], int] = {}
    for seed in range(4800):
        order = tuple(permutation(Key(seed), 4).tolist())
        orders[order] = orders.get(order, 0) + 1
    chi_square = sum((n - 200) ** 2 / 200 for n in orders.values()) + 200 * (24 - len(orders))
    assert chi_square < 73.7


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1 << 64}, {"seed": 0, "epoch": 1 << 32}])
def test_fields_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(GraphRecError, match="Key: expected 0 <="):
        Key(**wrong)
