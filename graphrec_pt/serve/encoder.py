"""Export of a Hugging Face backbone as a folder that transformers reads."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.store import new_folder
from graphrec_pt.models.hugging_face_network import Network
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import serving_of
from graphrec_pt.tokens.stored import StoredTokenizer
from graphrec_pt.tokens.words import Words


def export_encoder(run: Run, out: str | Path) -> list[Path]:
    """Write the trained backbone with its word embeddings, for ``AutoModel.from_pretrained``.

    With the tokenizer of the model the folder is an encoder of the featurizer ``text``.

    Args:
        run: The run of the model; its refitted model where there is one.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists, and for a backbone that is not of Hugging Face or
            keeps no words.
    """
    return write_encoder(serving_of(run).predictor.model.cpu(), out)


def write_encoder(model: Model, out: str | Path) -> list[Path]:
    """Write the backbone of a model as :func:`export_encoder` does.

    Args:
        model: On the CPU.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists, and for a backbone that is not of Hugging Face or
            keeps no words.
    """
    out = new_folder(out)
    backbone = model.backbone
    expected = "a hugging_face backbone with words: true"
    if not isinstance(backbone, Network):
        raise GraphRecError("export encoder", expected, type(backbone).__name__, "--to vectors")
    if backbone.text_embedding is None:
        raise GraphRecError("export encoder", expected, "words: false", "--to vectors")
    encoder = deepcopy(backbone.model)
    encoder.set_input_embeddings(deepcopy(backbone.text_embedding))
    with finished_folder(out) as made:
        encoder.save_pretrained(made)
        if model.tokenizer is not None:
            _save_tokenizer(model.tokenizer, made)
        names = sorted(path.name for path in made.iterdir())
    return [out / name for name in names]


def _save_tokenizer(words: Words, folder: Path) -> None:
    """Write the tokenizer of a model as one of transformers; nothing where no file can hold it."""
    from transformers import PreTrainedTokenizerFast

    if not isinstance(words.tokenizer, StoredTokenizer):
        return
    stored = words.tokenizer
    named: dict[str, Any] = {
        f"{name}_token": stored.backend.id_to_token(number)
        for name, number in stored.special.items()
    }
    made: Any = PreTrainedTokenizerFast
    made(tokenizer_object=stored.backend, **named).save_pretrained(folder)
