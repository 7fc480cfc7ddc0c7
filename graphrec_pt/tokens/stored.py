"""A tokenizer in a file: the vocabulary of a saved model, which needs no other library's classes.

::

    tokenizer.json         the tokenizer, in the format of the library ``tokenizers``
    tokenizer_config.json  its name and special tokens, as Hugging Face reads them too
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphrec_pt.core.documents import read_json_object, read_text
from graphrec_pt.core.errors import GraphRecError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
LARGEST = 1 << 28
"""Bytes of a tokenizer file that is read at most."""
SPECIAL = ("pad", "unk", "cls", "sep", "bos", "eos", "mask")
"""Special tokens that a tokenizer may have."""


class StoredTokenizer:
    """A tokenizer of the library ``tokenizers`` with the names of its special tokens.

    Special tokens that are spelled out in a text are read as plain text, so that no title can end
    a sentence.

    Args:
        backend: The tokenizer.
        special: Ids of its special tokens by the names of :data:`SPECIAL`.
        name: Its name in a config.
    """

    def __init__(self, backend: "Backend", special: Mapping[str, int], name: str) -> None:
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        self.backend, self.special, self.name_or_path = backend, dict(special), name

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of a text."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of many texts, without special tokens."""
        return [each.ids for each in self.backend.encode_batch(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=True)
        return text

    def __len__(self) -> int:
        """V, the size of the vocabulary, added tokens included."""
        return int(self.backend.get_vocab_size())

    def save(self, folder: Path) -> None:
        """Write both files into a new folder."""
        folder.mkdir()
        self.backend.save(str(folder / TOKENIZER), pretty=False)
        names = {f"{each}_token": self.backend.id_to_token(id) for each, id in self.special.items()}
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "name": self.name_or_path, **names}
        text = json.dumps(config, indent=1, ensure_ascii=False)
        (folder / TOKENIZER_CONFIG).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "StoredTokenizer":
        """Read the files that :meth:`save` wrote.

        Raises:
            GraphRecError: When they are no tokenizer.
        """
        path = folder / TOKENIZER
        try:
            config = read_json_object(folder / TOKENIZER_CONFIG, "saving the model anew")
            backend = _backend(str(path), read_text(path, LARGEST))
        except OSError as error:
            raise GraphRecError(str(folder), "a saved tokenizer", error) from error
        special: dict[str, int] = {}
        for each in SPECIAL:
            token = config.get(f"{each}_token")
            id = backend.token_to_id(token) if isinstance(token, str) else None
            if token is not None and id is None:
                expected = f"a {each}_token of the vocabulary"
                raise GraphRecError(str(folder / TOKENIZER_CONFIG), expected, repr(token))
            if id is not None:
                special[each] = int(id)
        highest = max(backend.get_vocab().values(), default=-1)
        if highest >= backend.get_vocab_size():
            expected = f"ids below {backend.get_vocab_size()}, one for each token"
            raise GraphRecError(str(path), expected, highest)
        return cls(backend, special, str(config.get("name", folder)))

    @classmethod
    def of(cls, tokenizer: Any) -> "StoredTokenizer | None":
        """Return the same tokenizer in this form; None for one that no file can hold.

        Args:
            tokenizer: A fast tokenizer of Hugging Face or of the library ``tokenizers``.
        """
        from tokenizers import Tokenizer as Backend

        if isinstance(tokenizer, cls):
            return tokenizer
        backend = tokenizer if isinstance(tokenizer, Backend) else None
        if backend is None:
            backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Backend):
            return None
        ids = {name: getattr(tokenizer, f"{name}_token_id", None) for name in SPECIAL}
        special = {name: int(id) for name, id in ids.items() if id is not None}
        name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
        return cls(Backend.from_str(backend.to_str()), special, name)


def _backend(path: str, content: str) -> "Backend":
    """Return the tokenizer of a file."""
    from tokenizers import Tokenizer as Backend

    try:
        return Backend.from_str(content)
    except Exception as error:  # the library has no class of its own for damaged files
        hint = "saving or downloading the model anew"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        expected = "a tokenizer of the library tokenizers"
        raise GraphRecError(path, expected, reason, hint) from error
