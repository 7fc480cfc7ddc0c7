"""Vectors kept on disk under the digest of what they were made from."""

import logging
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file

_log = logging.getLogger(__name__)


def digest(*parts: Tensor | str | bytes) -> str:
    """Return the BLAKE2b digest (32 hex digits) of tensors, texts and bytes in this order."""
    total = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            plain = part.detach().cpu().contiguous()
            total.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
            total.update(plain.view(-1).view(torch.uint8).numpy().data)
        else:
            raw = part.encode() if isinstance(part, str) else part
            total.update(f"{len(raw)}:".encode())
            total.update(raw)
    return total.hexdigest()


def kept(folder: str | Path | None, key: str, make: Callable[[], Tensor]) -> Tensor:
    """Return the result of `make`, read from disk if an earlier call with the key wrote it.

    Files are written atomically, so processes may share a folder. A damaged file is made
    again; a file that cannot be written costs a warning in the log.

    Args:
        folder: Folder of the cache, made if needed; None disables it.
        key: Digest of everything that the result depends on.
        make: Computes the result.
    """
    if folder is None:
        return make()
    path = Path(folder) / f"{key}.safetensors"
    vectors = _read(path)
    if vectors is None:
        vectors = make()
        _write(path, vectors)
    return vectors


def _read(path: Path) -> Tensor | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            vectors: Tensor = file.get_tensor("vectors")
            expected = (file.metadata() or {}).get("digest")
    except (OSError, SafetensorError) as error:
        _log.warning("%s cannot be read (%s): making it again", path, error)
        return None
    if digest(vectors) != expected:
        _log.warning("%s is damaged: making it again", path)
        return None
    return vectors


def _write(path: Path, vectors: Tensor) -> None:
    plain = vectors.detach().cpu().contiguous()
    try:
        with finished_file(path) as made:
            save_file({"vectors": plain}, made, {"digest": digest(plain)})
    except (GraphRecError, SafetensorError) as error:
        _log.warning("%s cannot be written (%s): going on without", path, error)
