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
from graphrec_pt.models.base import Base, BaseRecord
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
        base: The base whose weights are left out; None where all weights are there.
    """

    kind: str
    config: Mapping[str, Any]
    heads: Mapping[str, Mapping[str, Any]]
    usage: Usage | None
    weights: Mapping[str, Tensor]
    vocabulary: Vocabulary
    inputs: Mapping[str, Tensor] | None
    tokenizer: StoredTokenizer | None = None
    base: BaseRecord | None = None

    @property
    def base_size(self) -> int:
        """Numbers that the weights of the base can be at most."""
        if self.base is None:
            return 0
        return sum(path.stat().st_size for path in Path(self.base.folder).glob("*.safetensors"))

    def completed(
        self, state: Mapping[str, Tensor], base: Base | None, folder: Path
    ) -> Mapping[str, Tensor]:
        """Return the weights together with those of the base.

        Args:
            state: Weights of a model that was just made from the base.
            base: Its base.
            folder: Of the saved model, for the error.

        Raises:
            GraphRecError: When the base is not the one that the model was saved with.
        """
        if self.base is None:
            return self.weights
        if base is None or base.record.digest != self.base.digest:
            expected = f"its base model in {self.base.folder}, with digest {self.base.digest[:12]}"
            got = "another model" if base is None else f"digest {base.record.digest[:12]}"
            hint = "Model.from_pretrained(…, base=FOLDER), where the base is now"
            raise GraphRecError(str(folder), expected, got, hint)
        return base.completed(self.weights, state)


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
        if saved.base is not None:
            record["base"] = saved.base.model_dump()
        record["digest"] = digest_of(record)
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (made / CONFIG).write_text(text, encoding="utf-8")
    return folder


def read_model(folder: str | Path, base: str | Path | None = None) -> SavedModel:
    """Read a folder that :func:`write_model` wrote, and check its digests.

    Args:
        folder: Of the saved model.
        base: Folder of its base, where that is no longer where it was.

    Raises:
        GraphRecError: When a file is missing, cut short, of another model or of another format;
            when the base is not there.
    """
    folder = Path(folder)
    record = _read_config(folder / CONFIG)
    based = _base_of(record, folder, base)
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
        base=based,
        tokenizer=StoredTokenizer.load(folder / TEXT) if TEXT_FILES[0] in record["files"] else None,
    )


def _base_of(record: dict[str, Any], folder: Path, base: str | Path | None) -> BaseRecord | None:
    """Return the base of a saved model, found; the config of its backbone names it from now on."""
    if "base" not in record:
        return None
    based = BaseRecord.checked(record["base"], f"{folder} base")
    if base is not None:
        based = based.model_copy(update={"folder": str(base)})
    found = str(based.find(folder))
    if isinstance(record["model"].get("backbone"), dict):
        record["model"]["backbone"]["model"] = found
    return based


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
