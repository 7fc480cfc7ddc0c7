"""Hugging Face models by folder, name or object; nothing is downloaded unless the caller allows it.

Weights are read as safetensors only, and code of a model repository is never run.
"""

import logging
from collections.abc import Callable
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.tokens.words import from_hugging_face

_NOT_CONTENT = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"}


def load_model(source: Any, *, download: bool = False, kind: str = "AutoModel") -> Any:
    """Return a private copy of a model, in float32 and in evaluation mode.

    Args:
        source: Folder or name, read as safetensors; or a model, which is copied.
        download: Allow Hugging Face to download a name that is not in its cache.
        kind: Class of transformers that reads it.

    Raises:
        GraphRecError: When there is no such model.
    """
    if not isinstance(source, str):
        return deepcopy(source).float().eval()
    import transformers

    maker: Any = getattr(transformers, kind)

    def read() -> Any:
        return maker.from_pretrained(
            source,
            local_files_only=not download,
            use_safetensors=True,
            trust_remote_code=False,
        )

    return from_hugging_face("model", source, read).float().eval()


def load_config(source: Any, *, download: bool = False) -> Any:
    """Return the config of a model given by folder, name or object."""
    if not isinstance(source, str):
        return source.config
    from transformers import AutoConfig

    return from_hugging_face(
        "model",
        source,
        lambda: AutoConfig.from_pretrained(
            source, local_files_only=not download, trust_remote_code=False
        ),
    )


def load_image_processor(source: str, *, download: bool = False) -> Any:
    """Return an image processor."""
    from transformers import AutoImageProcessor

    read: Callable[..., Any] = AutoImageProcessor.from_pretrained
    return from_hugging_face(
        "image processor",
        source,
        lambda: read(source, local_files_only=not download, trust_remote_code=False),
    )


def _checked(source: Any) -> Any:
    """Return a folder, a name, or a network with a config; raise for anything else."""
    if not isinstance(source, str) and not (
        isinstance(source, nn.Module) and hasattr(source, "config")
    ):
        expected = "a Hugging Face model, or its folder or name"
        raise GraphRecError("encoder", expected, type(source).__name__)
    return source


def model_name(source: Any) -> str:
    """Return the name of a model in a saved config."""
    if isinstance(source, str):
        return source
    return str(getattr(source, "name_or_path", "") or type(source).__name__)


class Processor(Protocol):
    """The interface of an image processor, as those of Hugging Face have it."""

    def __call__(self, images: Any, *, return_tensors: str) -> Any:
        """Return ``pixel_values`` of images."""
        ...


EncoderField = Annotated[
    str | nn.Module,
    PlainValidator(_checked),
    PlainSerializer(model_name),
    WithJsonSchema({"type": "string"}, mode="validation"),
]
"""Type of a config field that holds a Hugging Face model, or the folder or name of one."""
ProcessorField = Annotated[
    str | Processor,
    PlainValidator(lambda source: source),
    PlainSerializer(model_name),
    WithJsonSchema({"type": "string"}, mode="validation"),
]
"""Type of a config field that holds an image processor, or the folder or name of one."""


def fingerprint(model: Any) -> str:
    """Return a digest of the architecture and weights of a model; its name does not count."""
    config = model.config.to_dict()
    options = sorted((k, repr(v)) for k, v in config.items() if k not in _NOT_CONTENT)
    parts = [type(model).__name__, repr(options)]
    for name, value in sorted(model.state_dict().items()):
        parts += [name, digest(value)]
    return digest(*parts)


def train_last_layers(model: nn.Module, count: int) -> None:
    """Freeze all but the last layers of a model.

    Raises:
        GraphRecError: When it has fewer layers, or they cannot be found.
    """
    layers = layers_of(model)
    depth = len(layers)
    if count > depth:
        raise GraphRecError("train", f"at most the last {depth} layers", count, "train: all")
    model.requires_grad_(False)
    for layer in list(layers)[depth - count :] if count else []:
        layer.requires_grad_(True)


def keep_first_layers(model: nn.Module, count: int) -> None:
    """Remove all but the first layers of a model.

    Raises:
        GraphRecError: When it has fewer layers, or they cannot be found.
    """
    layers = layers_of(model)
    if count > len(layers):
        raise GraphRecError("layers", f"at most the first {len(layers)} layers", count)
    del layers[count:]
    config: Any = model.config
    config.num_hidden_layers = count


def layers_of(model: nn.Module) -> nn.ModuleList:
    """Return the layers of a model, in their order; none where they cannot be found."""
    depth = getattr(model.config, "num_hidden_layers", 0)
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    return lists[0] if lists else nn.ModuleList()


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
