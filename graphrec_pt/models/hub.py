"""Saved models on the Hugging Face Hub: download and upload."""

import re
from pathlib import Path

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.save import PARTS

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
