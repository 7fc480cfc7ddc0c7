"""Text by a fixed table of word vectors, and its distillation from a sentence encoder."""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding_bag

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.features.columns import columns_of
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.pretrained import load_model
from graphrec_pt.features.vector import GivenFeature, Map
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import ColumnKind
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.store import new_folder
from graphrec_pt.tokens.words import Words, from_hugging_face, quiet, texts_of

FILE = "words.safetensors"
"""File of a folder with the table ``words`` ``[V, F]``, beside the tokenizer."""


@featurizer("static_vectors")
class StaticVectors:
    """The mean of fixed vectors of words, ``1/n Σ_i E[w_i]``, mapped to the width of the model.

    The table is that of a sentence encoder (``graphrec distil``); reading a text then costs a look
    into the table for each of its words.

    Args:
        folder: Folder with ``words.safetensors`` (tensor ``words`` ``[V, F]``) and a tokenizer.
        columns: Text or category columns to read, as one bag; all text columns by default.
        map: To the width D; see :func:`~graphrec_pt.features.vector.projection`.
        unit: Scale the means to length 1 first.
    """

    folder: str = Field(min_length=1)
    columns: tuple[str, ...] | None = None
    map: Map = "linear"
    unit: bool = False

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "StaticVectorsFeature":
        """Return the feature; its table is read when a graph is attached."""
        kinds: list[ColumnKind] = ["text"] if self.columns is None else ["text", "category"]
        names = columns_of(spec, node_type, kinds, self.columns, "static_vectors")
        inputs = _shape(self.folder)[1]
        return StaticVectorsFeature(self, node_type, names, inputs, width)


class StaticVectorsFeature(GivenFeature):
    """Means of fixed word vectors.

    Args:
        config: Its options.
        node_type: Type of its nodes.
        columns: Columns to read, as one bag.
        inputs: F.
        width: D.
    """

    def __init__(
        self,
        config: StaticVectors,
        node_type: str,
        columns: tuple[str, ...],
        inputs: int,
        width: int,
    ) -> None:
        super().__init__(inputs, width, config.map, config.unit)
        self.config, self.node_type, self.columns = config, node_type, columns

    def attach_graph(self, graph: Graph) -> None:
        """Read the texts, and take the mean of the vectors of their words: ``[n, F]``."""
        table, words = _table(self.config.folder), Words.of(self.config.folder)
        if len(words) > len(table):
            expected = f"vectors of {len(words)} words, as its tokenizer has"
            raise GraphRecError(self.config.folder, expected, len(table))
        count = graph.num_nodes(self.node_type)
        total, number = torch.zeros(count, self.inputs), torch.zeros(count)
        for column in self.columns:
            start, token = texts_of(graph, self.node_type, column, words)
            total += embedding_bag(token.long(), table, start[:-1], mode="sum")
            number += start.diff()
        mean = total / number.clamp(min=1).unsqueeze(1)
        self.given, self.absent = self.placed(mean), (number == 0).to(self.device)


def distil_words(
    encoder: str, folder: str | Path, *, width: int = 256, batch: int = 1024, download: bool = False
) -> Path:
    """Write the vectors of all words of a sentence encoder, and its tokenizer, to a folder.

    Each word of the vocabulary is encoded as a text of its own, framed as the tokenizer does, by
    the mean of its states. The vectors lose their mean, are projected to their first principal
    components, and are weighted by ``log(1 + rank)``, with the number of a word for its rank in
    frequency: frequent words tell less. This follows the published code of Model2Vec (Tulkens and
    van Dongen, 2024), re-derived.

    Args:
        encoder: Folder or name of an encoder with its tokenizer, such as MiniLM.
        folder: A new folder, for the featurizer ``static_vectors``.
        width: F, components that are kept, at most the width of the encoder.
        batch: Words per pass.
        download: Allow Hugging Face to download the encoder.

    Raises:
        GraphRecError: When the folder exists, the encoder is not there, or it is narrower.

    Example:
        >>> distil_words("sentence-transformers/all-MiniLM-L6-v2", "words")  # doctest: +SKIP
    """
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    folder = new_folder(folder)
    network: Any = load_model(encoder, download=download)
    if network.config.hidden_size < width:
        expected = f"a width of at most {network.config.hidden_size}"
        raise GraphRecError("distil", expected, width, "--width")
    tokenizer: Any = from_hugging_face(
        "tokenizer",
        encoder,
        lambda: AutoTokenizer.from_pretrained(
            encoder, local_files_only=not download, trust_remote_code=False
        ),
    )
    size = min(len(tokenizer), network.config.vocab_size)
    before, after = (torch.tensor(ids, dtype=torch.int64) for ids in Words(tokenizer).frame)
    vectors = []
    with torch.no_grad():
        for words in torch.split(torch.arange(size), batch):
            parts = (before, words.unsqueeze(1), after)
            ids = torch.cat([each.expand(len(words), -1) for each in parts], dim=1)
            mask = torch.ones_like(ids)
            vectors.append(network(input_ids=ids, attention_mask=mask).last_hidden_state.mean(1))
    every = torch.cat(vectors)
    every = every - every.mean(0)
    _, directions = torch.linalg.eigh(every.T @ every)  # ascending
    kept = directions.flip(1)[:, :width]
    largest = kept.abs().argmax(0)
    kept = kept * kept[largest, torch.arange(width)].sign()  # directions have no sign of their own
    table = every @ kept * torch.log1p(torch.arange(1, len(every) + 1)).unsqueeze(1)
    # Words that were added to the tokenizer alone have a vector of 0.
    table = torch.cat([table, table.new_zeros(len(tokenizer) - size, width)])
    with quiet(), finished_folder(folder) as made:
        save_file({"words": table}, made / FILE)
        tokenizer.save_pretrained(made)
    return folder


def _shape(folder: str) -> tuple[int, int]:
    """Return V and F of the table in a folder."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(folder) / FILE, framework="pt") as file:
            shape = file.get_slice("words").get_shape()
    except (OSError, SafetensorError) as error:
        hint = "graphrec distil ENCODER FOLDER"
        raise GraphRecError(folder, f"{FILE} with a tensor `words`", error, hint) from error
    if len(shape) != 2:
        raise GraphRecError(folder, "vectors of words [V, F]", list(shape))
    return int(shape[0]), int(shape[1])


def _table(folder: str) -> Tensor:
    """Return the table in a folder: float32 ``[V, F]``."""
    from safetensors.torch import load_file

    _shape(folder)
    return load_file(Path(folder) / FILE)["words"].float()
