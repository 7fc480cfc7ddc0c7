"""Tensors in files that ``torch.save`` wrote, read as data: nothing of such a file is ever run.

Such a file describes its tensors by a pickle. The reader here follows the few instructions that
describe a dictionary of tensors, by names that it knows, and refuses every other one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from pickletools import genops
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError

ELEMENT_TYPES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch DoubleStorage": torch.float64,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
}
"""Element types, by the names that files give them."""
MAGIC = 0x1950A86A20F9469CFC6C
"""Number at the head of files in the form before PyTorch 1.6."""
HEADERS = 3
"""Pickles before the description of the tensors in that form."""


@dataclass(frozen=True)
class _Name:
    """A class or function that a file names; it is never looked up."""

    of: str


@dataclass(frozen=True)
class _Storage:
    """A flat block of elements.

    Args:
        key: Its name.
        dtype: Of its elements.
        size: Number of its elements.
    """

    key: str
    dtype: torch.dtype
    size: int


@dataclass(frozen=True)
class _Shape:
    """A tensor: where it lies in a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


_MARK = object()


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Args:
        path: A file that ``torch.save`` wrote from a dictionary of tensors, in either of its forms.

    Raises:
        GraphRecError: For any other content.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            described, blocks = (_zipped if zipped else _flat)(file)
        return {name: _tensor(each, blocks) for name, each in described.items()}
    except (OSError, BadZipFile, ValueError, KeyError, IndexError, TypeError, EOFError) as error:
        expected = f"a dictionary of tensors in {path.name}"
        raise GraphRecError("convert", expected, str(error) or type(error).__name__) from error


def _flat(file: BinaryIO) -> tuple[dict[str, _Shape], dict[str, bytes]]:
    """Read the form before PyTorch 1.6: pickles one after another, then the storages."""
    described = [_content(file) for _ in range(HEADERS + 2)]
    if described[0] != MAGIC or not isinstance(described[-1], list):
        raise ValueError("no file of torch.save")
    shapes = _shapes(described[HEADERS])
    storages = {each.storage.key: each.storage for each in shapes.values()}
    blocks = {}
    for key in described[-1]:
        size = int.from_bytes(file.read(8), "little")
        blocks[str(key)] = file.read(size * storages[str(key)].dtype.itemsize)
    return shapes, blocks


def _zipped(file: BinaryIO) -> tuple[dict[str, _Shape], dict[str, bytes]]:
    """Read the form since PyTorch 1.6: a zip file with the description and one file a storage."""
    with ZipFile(file) as archive:
        (main,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        shapes = _shapes(_content(BytesIO(archive.read(main))))
        keys = {each.storage.key for each in shapes.values()}
        folder = main.removesuffix("data.pkl")
        return shapes, {key: archive.read(f"{folder}data/{key}") for key in keys}


def _tensor(shape: _Shape, blocks: dict[str, bytes]) -> Tensor:
    storage = shape.storage
    block = blocks[storage.key]
    if len(block) != storage.size * storage.dtype.itemsize:
        raise ValueError(f"storage {storage.key} has {len(block)} bytes")
    last = shape.offset + sum((n - 1) * s for n, s in zip(shape.size, shape.stride, strict=True))
    if min(shape.size, default=1) and not 0 <= shape.offset <= last < storage.size:
        raise ValueError(f"a tensor that leaves storage {storage.key}")
    if not block:
        return torch.zeros(shape.size, dtype=storage.dtype)
    flat = torch.frombuffer(bytearray(block), dtype=storage.dtype)
    return flat.as_strided(shape.size, shape.stride, shape.offset).clone()


def _shapes(content: object) -> dict[str, _Shape]:
    if not isinstance(content, dict) or not all(isinstance(v, _Shape) for v in content.values()):
        raise ValueError("something else than a dictionary of tensors")
    return {str(name): each for name, each in content.items()}


def _called(name: object, given: object) -> object:
    """Return what a call stands for that a description of tensors makes."""
    if name == _Name("collections OrderedDict") and given == ():
        return {}
    known = name in (
        _Name("torch._utils _rebuild_tensor_v2"),
        _Name("torch._utils _rebuild_tensor"),
    )
    if known and isinstance(given, tuple) and isinstance(given[0], _Storage):
        return _Shape(given[0], int(given[1]), tuple(given[2]), tuple(given[3]))
    if name == _Name("torch._utils _rebuild_parameter") and isinstance(given, tuple):
        return given[0]
    raise ValueError(f"a call of {name.of if isinstance(name, _Name) else name!r}")


def _stored(given: object) -> _Storage:
    """Return the storage of a persistent id ``("storage", type, key, device, size, …)``."""
    if not isinstance(given, tuple) or given[0] != "storage":
        raise ValueError(f"a reference to {given!r}")
    kind = given[1].of if isinstance(given[1], _Name) else repr(given[1])
    if kind not in ELEMENT_TYPES:
        raise ValueError(f"elements of {kind}")
    return _Storage(str(given[2]), ELEMENT_TYPES[kind], int(given[4]))


def _content(file: BinaryIO) -> object:
    """Return what the next pickle of a file describes."""
    stack: list[object] = []
    memo: dict[int, object] = {}

    def after_mark() -> list[object]:
        at = max(n for n, each in enumerate(stack) if each is _MARK)
        taken = stack[at + 1 :]
        del stack[at:]
        return taken

    def set_items(target: object, flat: list[object]) -> None:
        if not isinstance(target, dict):
            raise ValueError("items of something else than a dictionary")
        target.update(zip(flat[::2], flat[1::2], strict=True))

    def tuple_of(count: int) -> None:
        taken = tuple(stack[len(stack) - count :])
        del stack[len(stack) - count :]
        stack.append(taken)

    def extend() -> None:
        taken, target = after_mark(), stack[-1]
        if not isinstance(target, list):
            raise ValueError("items of something else than a list")
        target.extend(taken)

    def reduce() -> None:
        given, name = stack.pop(), stack.pop()
        stack.append(_called(name, given))

    def set_many() -> None:
        taken = after_mark()  # before the dictionary is the top
        set_items(stack[-1], taken)

    def set_one() -> None:
        value, key = stack.pop(), stack.pop()
        set_items(stack[-1], [key, value])

    constants: dict[str, Callable[[], object]] = {
        "EMPTY_DICT": dict,
        "EMPTY_LIST": list,
        "EMPTY_TUPLE": tuple,
        "MARK": lambda: _MARK,
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
    }
    steps: dict[str, Callable[[], object]] = {
        "TUPLE": lambda: stack.append(tuple(after_mark())),
        "TUPLE1": lambda: tuple_of(1),
        "TUPLE2": lambda: tuple_of(2),
        "TUPLE3": lambda: tuple_of(3),
        "SETITEM": set_one,
        "SETITEMS": set_many,
        "APPENDS": extend,
        "REDUCE": reduce,
        "BUILD": stack.pop,  # attributes of the dictionary, such as the versions of its layers
        "BINPERSID": lambda: stack.append(_stored(stack.pop())),
    }
    for code, argument, _ in genops(file):
        name = code.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name in constants:
            stack.append(constants[name]())
        elif name in steps:
            steps[name]()
        elif name == "GLOBAL":
            stack.append(_Name(str(argument)))
        elif name in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            stack.append(memo[argument])
        elif name in ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"):
            stack.append(argument)
        else:
            raise ValueError(f"the instruction {name}")
    raise ValueError("no end")
