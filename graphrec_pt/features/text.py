"""Text of nodes through any Hugging Face encoder."""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import one_column_of
from graphrec_pt.features.encoded import EncodedFeature, EncoderUse, Train, batches
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.pretrained import EncoderField, digest, load_config
from graphrec_pt.features.vector import Map
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.tokens.words import TokenizerField, Words, texts_of

Pooling = Literal["mean", "cls", "last", "attention"]


@featurizer("text")
class TextFeaturizer:
    """The vector of a node's text from a pre-trained encoder.

    Args:
        encoder: Folder or name of a Hugging Face model, or a model, which is copied. Of an
            encoder-decoder the encoder is used.
        tokenizer: Tokenizer of the encoder; by default the one in its folder.
        column: Text or category column to read; by default the title, or the only text column.
        train: ``"frozen"`` (encoded once per graph), ``"all"``, or the number of last
            layers that train; 0 runs the encoder in each pass and trains nothing of it.
        pooling: ``"mean"`` of the states of all tokens, the state of the first (``"cls"``) or the
            last, or their sum weighted by a learned ``softmax_t(w · tanh(V h_t))``
            (``"attention"``, Yang et al., "Hierarchical attention networks", NAACL 2016).
        unit: Scale the vectors to length 1, as sentence encoders do.
        map: To the width D; see :func:`~graphrec_pt.features.vector.projection`.
        longest: Tokens of a text at most, special ones included.
        batch_tokens: Tokens per pass of the encoder, padding included.
        cache: Folder where vectors of a frozen encoder are kept.
        download: Allow Hugging Face to download a model that is not in the cache.
    """

    encoder: EncoderField
    tokenizer: TokenizerField | None = None
    column: str | None = None
    train: Train = "frozen"
    pooling: Pooling = "mean"
    unit: bool = False
    map: Map = "linear"
    longest: int = Field(64, ge=1)
    batch_tokens: int = Field(4096, ge=1)
    cache: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        if self.tokenizer is None and not isinstance(self.encoder, str):
            raise GraphRecError("text", "the tokenizer of an encoder given as object", "none")
        if self.train == "frozen" and self.pooling == "attention":
            hint = "train: 0, which trains the pooling and nothing of the encoder"
            raise GraphRecError("text", "pooling of a frozen encoder", "attention", hint)

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "TextFeature":
        """Return the feature; sizes come from the config of the encoder."""
        column = self._column(spec, node_type)
        config = load_config(self.encoder, download=self.download)
        room = getattr(config, "max_position_embeddings", None)
        if room is not None and self.longest > room:
            raise GraphRecError("text", f"longest of at most {room}", self.longest)
        tokenizer: Any = self.encoder if self.tokenizer is None else self.tokenizer
        words = Words.of(tokenizer, download=self.download)
        return TextFeature(self, node_type, column, words, config.hidden_size, width)

    def _column(self, spec: GraphSpec, node_type: str) -> str:
        node = spec.nodes[spec.node_index(node_type)]
        if self.column is None and node.title is not None:
            return node.title
        kinds: tuple[Any, ...] = ("text",) if self.column is None else ("text", "category")
        return one_column_of(spec, node_type, kinds, self.column, "text")


class TextFeature(EncodedFeature):
    """Token ids of the text of every node, with their encoder.

    Args:
        config: Its options.
        node_type: Type of its nodes.
        column: Column of the text.
        words: Tokenizer of the encoder.
        inputs: F, hidden size of the encoder.
        width: D.
    """

    start: Tensor
    token: Tensor

    def __init__(
        self,
        config: TextFeaturizer,
        node_type: str,
        column: str,
        words: Words,
        inputs: int,
        width: int,
    ) -> None:
        encoding = EncoderUse(
            config.encoder, config.train, config.map, config.unit, config.cache, config.download
        )
        super().__init__(encoding, inputs, width)
        self.config, self.node_type, self.column = config, node_type, column
        self.words, (self.before, self.after) = words, words.frame
        self.pad = words.special.get("pad", 0)
        self.room = config.longest - len(self.before) - len(self.after)
        if self.room < 1:
            expected = f"longest of more than {config.longest - self.room} special tokens"
            raise GraphRecError("text", expected, config.longest)
        self.attend = nn.Linear(inputs, inputs) if config.pooling == "attention" else None
        self.query = nn.Linear(inputs, 1, bias=False) if config.pooling == "attention" else None
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("token", torch.zeros(0, dtype=torch.int32), persistent=False)

    def load(self) -> Any:
        """Return the encoder; for an encoder-decoder its encoder half."""
        model = super().load()
        return model.get_encoder() if model.config.is_encoder_decoder else model

    def read(self, graph: Graph) -> Tensor:
        """Read the token ids."""
        start, token = texts_of(graph, self.node_type, self.column, self.words)
        self.start, self.token = start.to(self.device), token.to(self.device)
        return start.diff() == 0

    def content(self) -> str:
        """Return a digest of the token ids and of the options for cutting, framing and pooling."""
        how = f"{self.before} {self.after} {self.room} {self.config.pooling}"
        return digest(self.start, self.token, how)

    def encode(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return ``[n, F]``."""
        first = self.start[nodes]
        count = (self.start[nodes + 1] - first).clamp(max=self.room)
        length = count + len(self.before) + len(self.after)
        order, vectors = [], []
        for rows in batches(length, self.config.batch_tokens):
            ids = self._dense(first[rows], count[rows])  # [b, L]
            seen = torch.arange(ids.shape[1], device=ids.device) < length[rows].unsqueeze(1)
            states = encoder(input_ids=ids, attention_mask=seen.long()).last_hidden_state
            order.append(rows)
            vectors.append(self._pooled(states, seen))
        pooled = torch.cat(vectors)
        return torch.empty_like(pooled).index_copy(0, torch.cat(order), pooled)

    def _dense(self, first: Tensor, count: Tensor) -> Tensor:
        """Return the framed token ids of texts, padded on the right: int64 ``[b, L]``."""
        before, after = (
            torch.tensor(ids, device=first.device) for ids in (self.before, self.after)
        )
        widest = int(count.max()) + len(before) + len(after)
        place = torch.arange(widest, device=first.device) - len(before)  # of a token in its text
        inside = (place >= 0) & (place < count.unsqueeze(1))
        at = (first.unsqueeze(1) + place).masked_fill(~inside, 0)
        ids = self.token[at].long().masked_fill(~inside, self.pad)
        ids[:, : len(before)] = before
        end = len(before) + count.unsqueeze(1) + torch.arange(len(after), device=first.device)
        return ids.scatter(1, end, after.expand(len(ids), -1))

    def _pooled(self, states: Tensor, seen: Tensor) -> Tensor:
        if self.attend is not None and self.query is not None:
            score = self.query(self.attend(states).tanh()).squeeze(2)  # [b, L]
            share = score.masked_fill(~seen, -torch.inf).softmax(1)
        elif self.config.pooling == "mean":
            share = seen / seen.sum(1, keepdim=True)
        else:
            last = (
                seen.sum(1) - 1 if self.config.pooling == "last" else torch.zeros_like(seen[:, 0])
            )
            return states[torch.arange(len(states), device=states.device), last.long()]
        return torch.einsum("bl,blf->bf", share.to(states.dtype), states)
