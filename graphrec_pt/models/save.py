"""Saved models in the Hugging Face layout: a folder written atomically, without pickle.

::

    config.json          shape of the model and its heads, how it was taught to predict, format and
                         library version, digests of the files
    model.safetensors    weights
    vocabulary.parquet   raw ids behind the ids
    tokenizer/           tokenizer of the texts, if the model has one with a vocabulary
    inputs.safetensors   what the features read off the graph, if it was to be kept
    README.md            the card
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphrec_pt.core.documents import digest_of, read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.core.version import __version__
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.usage import Usage
from graphrec_pt.tokens.stored import TOKENIZER, TOKENIZER_CONFIG, StoredTokenizer
from graphrec_pt.tokens.vocabulary import Vocabulary

FORMAT = 2
CONFIG, WEIGHTS, VOCABULARY = "config.json", "model.safetensors", "vocabulary.parquet"
INPUTS, CARD = "inputs.safetensors", "README.md"
TEXT = "tokenizer"
"""Folder of the tokenizer."""
TEXT_FILES = (f"{TEXT}/{TOKENIZER}", f"{TEXT}/{TOKENIZER_CONFIG}")
FILES = (CONFIG, WEIGHTS, VOCABULARY, INPUTS, CARD)
PARTS = (*FILES, *TEXT_FILES)


@dataclass(frozen=True, eq=False, slots=True)
class SavedModel:
    """The content of a saved model's folder.

    Args:
        kind: Class of the model.
        config: JSON values that its shape depends on.
        heads: Config of each head, by the label of its objective.
        usage: How the model predicts; None for a model that was never trained.
        weights: By name.
        vocabulary: Vocabulary of the graph.
        inputs: What the features read off the graph, by name; None where it was not kept.
        tokenizer: The tokenizer of texts; None for a model without one, or with hashed words.
    """

    kind: str
    config: Mapping[str, Any]
    heads: Mapping[str, Mapping[str, Any]]
    usage: Usage | None
    weights: Mapping[str, Tensor]
    vocabulary: Vocabulary
    inputs: Mapping[str, Tensor] | None
    tokenizer: StoredTokenizer | None = None


def write_model(folder: str | Path, saved: SavedModel, card: str) -> Path:
    """Write a model to a folder, in place of the one that is there.

    Raises:
        GraphRecError: When the folder holds anything else, or cannot be written.
    """
    folder = Path(folder)
    _check_target(folder)
    with finished_folder(folder) as made:
        _save_tensors(saved.weights, made / WEIGHTS)
        saved.vocabulary.save(made / VOCABULARY)
        if saved.inputs is not None:
            _save_tensors(saved.inputs, made / INPUTS)
        if saved.tokenizer is not None:
            saved.tokenizer.save(made / TEXT)
        (made / CARD).write_text(card, encoding="utf-8")
        names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*.*"))
        record = {
            "format": FORMAT,
            "graphrec_pt": __version__,
            "class": saved.kind,
            "files": {name: _digest(made / name) for name in names if name != CARD},
            "model": dict(saved.config),
            "heads": saved.heads,
            "usage": None if saved.usage is None else saved.usage.model_dump(mode="json"),
        }
        record["digest"] = digest_of(record)
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (made / CONFIG).write_text(text, encoding="utf-8")
    return folder


def read_model(folder: str | Path) -> SavedModel:
    """Read a folder that :func:`write_model` wrote, and check its digests.

    Raises:
        GraphRecError: When a file is missing, cut short, of another model or of another format.
    """
    folder = Path(folder)
    record = _read_config(folder / CONFIG)
    for name, digest in record["files"].items():
        try:
            if not (folder / name).is_file():
                raise FileNotFoundError("no such file")
            actual = _digest(folder / name)
        except OSError as error:
            raise GraphRecError(str(folder / name), "a file of the model", error) from error
        if actual != digest:
            hint = "saving or downloading the model anew"
            raise GraphRecError(str(folder / name), "the file that was saved", "another", hint)
    weights = _load_tensors(folder / WEIGHTS)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            hint = "another copy, or training it with a smaller learning rate"
            raise GraphRecError(f"{folder / WEIGHTS} {name}", "finite weights", "NaN or ∞", hint)
    usage = record["usage"]
    return SavedModel(
        kind=record["class"],
        config=record["model"],
        heads=record["heads"],
        usage=None if usage is None else Usage.checked(usage, f"{folder} usage"),
        weights=weights,
        vocabulary=Vocabulary.load(folder / VOCABULARY),
        inputs=_load_tensors(folder / INPUTS) if INPUTS in record["files"] else None,
        tokenizer=StoredTokenizer.load(folder / TEXT) if TEXT_FILES[0] in record["files"] else None,
    )


def fill(model: nn.Module, weights: Mapping[str, Tensor], who: str) -> None:
    """Put saved weights into a model.

    Raises:
        GraphRecError: When they are not those of the model, by name and shape.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for finding, names in (
        ("nothing for", shapes.keys() - weights.keys()),
        ("also", weights.keys() - shapes.keys()),
        (
            "others for",
            {n for n in shapes.keys() & weights.keys() if weights[n].shape != shapes[n]},
        ),
    ):
        if names:
            listed = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
            raise GraphRecError(who, "the weights that the config tells", f"{finding} {listed}")
    model.load_state_dict(dict(weights))


def _check_target(folder: Path) -> None:
    if not folder.exists():
        return
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else {"a file"}
    known = {*FILES, TEXT}
    if present and not ({CONFIG, WEIGHTS, VOCABULARY} <= present <= known):
        got = ", ".join(sorted(present - known)[:3] or sorted(present))
        raise GraphRecError(str(folder), "a new folder or a saved model", got, "another folder")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        record = read_json_object(path, "saving or downloading the model anew")
    except OSError as error:
        raise GraphRecError(str(path), "the config of a saved model", error) from error
    stamp = record.get("format")
    if stamp != FORMAT:
        written = record.get("graphrec_pt")
        hint = f"graphrec_pt {written}, which wrote it" if written else "save_pretrained"
        if stamp == 1:
            hint = "training the model again, for format 1 had no shapes of heads to predict with"
        raise GraphRecError(str(path), f"model format {FORMAT}", stamp or "none", hint)
    digest = record.pop("digest", None)  # models of older versions have no digest
    if digest is not None and digest != digest_of(record):
        hint = "saving or downloading the model anew"
        raise GraphRecError(str(path), "the config that was saved", "another", hint)
    for key, kind in (
        ("class", str),
        ("files", dict),
        ("model", dict),
        ("heads", dict),
        ("usage", dict | None),
    ):
        if key not in record or not isinstance(record[key], kind):
            raise GraphRecError(str(path), f"{key!r} in the config of a saved model", "none")
    files = set(record["files"])
    known = {WEIGHTS, VOCABULARY, INPUTS, *TEXT_FILES}
    if not {WEIGHTS, VOCABULARY} <= files or not files <= known:
        got = ", ".join(sorted(files)) or "none"
        raise GraphRecError(str(path), f"the files {WEIGHTS} and {VOCABULARY}", got)
    return dict(record)


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Save tensors, each by itself: views and ties too."""
    parts: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        part = tensor.detach().cpu().contiguous()
        storage = part.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != part.nbytes:
            part = part.clone()
        taken.add(part.untyped_storage().data_ptr())
        parts[name] = part
    try:
        save_file(parts, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise GraphRecError(str(path), "the tensors that were saved", error) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


_CARD = """\
---
library_name: graphrec_pt
tags: [graphrec_pt, recommender-systems, graph, pre-training]
---

# A model pre-trained on a graph

{weights:,} weights, width {width}, backbone `{backbone}`, saved by graphrec_pt {version}.

| node type | nodes | features |
|---|---:|---|
{nodes}

Relations: {relations}.

```python
from graphrec_pt.models.model import Model

model = Model.from_pretrained(folder_or_name){bind}
```

Another graph takes over what it shares with this one by names and raw ids:
`transfer(model, graph)` of `graphrec_pt.models.transfer`.
"""


def model_card(config: dict[str, Any], spec: GraphSpec, weights: int, *, ready: bool) -> str:
    """Return the card as Markdown.

    Args:
        config: JSON-ready, of the model.
        spec: Spec of its graph.
        weights: How many there are.
        ready: Whether the model runs without its graph.
    """
    features = config["features"]["by_type"]
    rows = (
        (name, count, features.get(name, features.get("*", [{"name": "id"}])))
        for name, count in zip(spec.node_names, spec.counts, strict=True)
    )
    return _CARD.format(
        weights=weights,
        width=config["backbone"].get("width", "?"),
        backbone=config["backbone"]["name"],
        version=__version__,
        nodes="\n".join(
            f"| {name} | {count:,} | {', '.join(each['name'] for each in of_type)} |"
            for name, count, of_type in rows
        ),
        relations=", ".join(f"{r.name} ({r.source} → {r.target})" for r in spec.relations)
        or "none",
        bind="" if ready else ".attach_graph(graph)  # it reads columns or edges",
    )


_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_INSTALL = 'pip install "graphrec-pt[hub]"'


def model_folder(name: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a saved model, downloaded if it is on the Hub.

    Args:
        name: A folder, or ``"owner/name"`` on the Hub.
        revision: Branch, tag or commit on the Hub.

    Raises:
        GraphRecError: When it is neither, or cannot be had.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not _NAME.fullmatch(str(name)):
        expected = "the folder of a saved model, or owner/name on the Hugging Face Hub"
        raise GraphRecError("from_pretrained", expected, repr(str(name)))
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(name), revision=revision, allow_patterns=list(PARTS)))
    except ImportError as error:
        raise GraphRecError("from_pretrained", "huggingface-hub", "none", _INSTALL) from error
    except Exception as error:  # a lost connection is whatever the client of the day raises
        expected = f"a model {str(name)!r} on the Hugging Face Hub"
        raise GraphRecError("from_pretrained", expected, _first_line(error)) from error


def upload(folder: Path, name: str, *, private: bool | None, message: str) -> str:
    """Put a saved model on the Hub in one commit, and return its address.

    Args:
        folder: Folder of the saved model.
        name: ``"owner/name"``, made if it is not there.
        private: Whether a new repository is; as the owner's settings say for None.
        message: Message of the commit.

    Raises:
        GraphRecError: When the Hub does not take it.
    """
    try:
        from huggingface_hub import HfApi

        api = HfApi()
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=folder,
            commit_message=message,
            delete_patterns=list(PARTS),  # remove files of an older model
        )
    except ImportError as error:
        raise GraphRecError("push_to_hub", "huggingface-hub", "none", _INSTALL) from error
    except Exception as error:  # a lost connection is whatever the client of the day raises
        expected = f"the right to write to {name!r} on the Hugging Face Hub"
        raise GraphRecError("push_to_hub", expected, _first_line(error), "hf auth login") from error
    return str(repository)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
