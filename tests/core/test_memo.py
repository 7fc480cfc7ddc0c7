"""Values kept for an owner: made once, in one thread, for as long as the owner lives."""

import gc
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import polars as pl
import torch

from graphrec_pt.core.memo import Memo


class Owner:
    """Equal to every other owner, and without a hash: only identity tells two apart."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def test_made_once_for_each_owner_and_key() -> None:
    memo: Memo[list[int]] = Memo()
    made: list[int] = []

    def make() -> list[int]:
        made.append(len(made))
        return [len(made)]

    first, second = Owner(), Owner()
    assert memo(first, "a", make) is memo(first, "a", make)
    assert memo(first, "b", make) == [2]
    assert memo(second, "a", make) == [3]
    assert len(made) == 3


def test_gone_with_its_owner() -> None:
    memo: Memo[int] = Memo()
    for owner in (Owner(), torch.zeros(2), pl.DataFrame({"a": [1]})):
        memo(owner, None, lambda: 1)
    del owner
    gc.collect()
    assert len(memo) == 0


def test_no_value_of_an_earlier_owner_with_the_same_id() -> None:
    memo: Memo[int] = Memo()
    for number in range(200):  # a new object often gets the id of the last one
        assert memo(Owner(), None, lambda number=number: number) == number


def test_made_anew_for_another_given_object() -> None:
    memo: Memo[object] = Memo()
    owner, a, b = Owner(), torch.zeros(1), torch.zeros(1)
    first = memo(owner, None, object, given=(a,))
    assert memo(owner, None, object, given=(a,)) is first
    assert memo(owner, None, object, given=(b,)) is not first  # equal, but not the same
    assert memo(owner, None, object, given=(a,)) is not first  # only the last one is kept


def test_a_failure_is_not_kept() -> None:
    memo: Memo[int] = Memo()
    owner = Owner()
    for _ in range(2):
        try:
            memo(owner, None, lambda: 1 // 0)
        except ZeroDivisionError:
            continue
        raise AssertionError
    assert memo(owner, None, lambda: 5) == 5


def test_threads_share_one_value() -> None:
    memo: Memo[object] = Memo()
    owner, made = Owner(), []

    def make() -> object:
        sleep(0.05)
        made.append(1)
        return object()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: memo(owner, 0, make), range(8)))
    assert len(made) == 1
    assert all(value is found[0] for value in found)
