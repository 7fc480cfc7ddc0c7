import numpy as np
import pytest
import torch

from graphrec_pt.core import key as reference
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.philox import below, check_degrees, check_items, draw32, philox

# Known answers of Random123 (philox4x32, 10 rounds): counter, key, words.
KNOWN = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "seed", "words"), KNOWN)
def test_random123_vectors(body, device, counter, seed, words):
    item, block, stream, epoch = counter
    key = Key(seed[0] | seed[1] << 32, epoch=epoch, stream=stream)
    got = philox(key, torch.tensor([item], device=device), block)
    assert [f"{word:08x}" for word in got[0].tolist()] == words.split()


def test_draws_equal_the_contract(body, device):
    key = Key(2**63 + 12345, epoch=7, stream=0xDEADBEEF)
    item = torch.arange(0, 2**32, 2**32 // 37, device=device).unsqueeze(1)
    draw = torch.tensor([0, 1, 2, 3, 4, 11, 2**33 + 2], device=device)
    got = draw32(key, item, draw)
    expected = reference.draw32(key, item.cpu().numpy(), draw.cpu().numpy())
    np.testing.assert_array_equal(got.cpu().numpy(), expected.astype(np.int64))


def test_empty_and_non_contiguous_items(body, device):
    assert philox(Key(0), torch.empty(0, dtype=torch.int64, device=device)).shape == (0, 4)
    item = torch.arange(10, device=device)
    assert philox(Key(1), item[::2]).equal(philox(Key(1), item)[::2])


def test_below_is_multiply_shift():
    bits = torch.tensor([0, 1 << 31, 0xFFFFFFFF])
    assert below(bits, 10).tolist() == [0, 5, 9]
    assert below(bits, 0xFFFFFFFF).tolist() == [0, 0x7FFFFFFF, 0xFFFFFFFE]


def test_ids_must_fit_the_counter():
    check_items("walk", 2**32 - 1)
    with pytest.raises(GraphRecError, match=r"walk: expected fewer than 2\*\*32 nodes"):
        check_items("walk", 2**32)


def test_degrees_must_fit_a_draw():
    def star(degree, edges):
        none = torch.empty(1, dtype=torch.int8).expand(edges)  # no memory behind it
        t = torch.tensor
        return SegmentedCSR(t([0, 2]), t([1]), t([0, 2]), t([0, degree, edges]), none)

    check_degrees("walk", star(2**31, 2**32))
    with pytest.raises(GraphRecError, match=r"walk: expected fewer than 2\*\*32 edges"):
        check_degrees("walk", star(2**32, 2**32 + 1))
