"""Values that are computed once for an object and dropped together with it."""

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Generic, TypeVar
from weakref import ref

V = TypeVar("V")
_Values = dict[Hashable, tuple[tuple[object, ...], V]]


class Memo(Generic[V]):
    """A cache of values by the identity of their owner and a key.

    The owner is held weakly and compared by identity, so tensors and tables can own values, too.
    Concurrent threads compute a value once. A value must not refer to its owner, or neither would
    be freed.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._kept: dict[int, tuple[ref[object], _Values[V]]] = {}

    def __call__(
        self, owner: object, key: Hashable, make: Callable[[], V], given: tuple[object, ...] = ()
    ) -> V:
        """Return the cached value of an owner under a key; compute it if there is none.

        Args:
            owner: The value is dropped with it.
            key: Name of the value.
            make: Computes the value.
            given: Other objects that the value depends on; they are kept with it, and the value is
                computed anew when other objects are given.
        """
        with self._lock:
            values = self._of(owner)
            kept = values.get(key)
            if kept is None or not _same(kept[0], given):
                kept = values[key] = given, make()
            return kept[1]

    def __len__(self) -> int:
        """Number of owners that have values."""
        return len(self._kept)

    def _of(self, owner: object) -> "_Values[V]":
        number = id(owner)
        entry = self._kept.get(number)
        if entry is None or entry[0]() is not owner:
            entry = ref(owner, lambda gone: self._forget(number, gone)), {}
            self._kept[number] = entry
        return entry[1]

    def _forget(self, number: int, gone: ref[object]) -> None:
        entry = self._kept.get(number)
        if entry is not None and entry[0] is gone:
            del self._kept[number]


def _same(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
