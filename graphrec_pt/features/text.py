"""Text of nodes through any Hugging Face encoder."""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.bus import bus_states, pooled_segments
from graphrec_pt.features.columns import one_column_of
from graphrec_pt.features.encoded import EncodedFeature, EncoderUse, Train, batches
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.pretrained import EncoderField, digest, load_config
from graphrec_pt.features.refresh import Refresh
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
        layers: The first layers of the encoder that are used; all by default. A student with half
            the layers of its teacher begins so (Tiny-NewsRec, Yu et al., EMNLP 2022).
        segments: ``"bus"`` cuts a text into segments of `segment` tokens, special ones included,
            which are encoded apart and see one another's first states; see
            :func:`~graphrec_pt.features.bus.bus_states`. Vectors of segments are pooled as tokens
            are: their mean, or a learned weighted sum with ``"attention"``.
        segment: Tokens of a segment at most; SpeedyFeed has 32.
        refresh: Of an encoder that trains: when a vector of an earlier step is taken in place of
            encoding again; see :class:`~graphrec_pt.features.refresh.Refresh`. Never by default.
        gradient: Of an encoder that trains: ``"accumulate"`` encodes each text once per optimiser
            step, adds up the gradients of its vector over micro-batches and passes, and goes
            backward through the encoder once (GRAM, Yang et al., NAACL 2022). The gradient is that
            of ``"plain"``, up to the order of sums and the draws of dropout.
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
    layers: int | None = Field(None, ge=1)
    segments: Literal["bus"] | None = None
    segment: int = Field(32, ge=1)
    refresh: Refresh | None = None
    gradient: Literal["plain", "accumulate"] = "plain"
    batch_tokens: int = Field(4096, ge=1)
    cache: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        if self.tokenizer is None and not isinstance(self.encoder, str):
            raise GraphRecError("text", "the tokenizer of an encoder given as object", "none")
        if self.train == "frozen" and self.pooling == "attention":
            hint = "train: 0, which trains the pooling and nothing of the encoder"
            raise GraphRecError("text", "pooling of a frozen encoder", "attention", hint)
        if self.train == "frozen" and (self.refresh is not None or self.gradient != "plain"):
            got = "refresh" if self.refresh is not None else f"gradient: {self.gradient}"
            raise GraphRecError("text", f"an encoder that trains with {got}", "train: frozen")
        if self.segments is not None and self.pooling == "last":
            raise GraphRecError("text", "pooling of segments", "last", "pooling: mean")

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "TextFeature":
        """Return the feature; sizes come from the config of the encoder."""
        column = self._column(spec, node_type)
        config = load_config(self.encoder, download=self.download)
        room = getattr(config, "max_position_embeddings", None)
        name, length = ("longest", self.longest)
        if self.segments is not None:
            name, length = ("segment", min(self.segment, self.longest))
        if room is not None and length > room:
            raise GraphRecError("text", f"{name} of at most {room}", length)
        tokenizer: Any = self.encoder if self.tokenizer is None else self.tokenizer
        words = Words.of(tokenizer, download=self.download)
        count = spec.counts[spec.node_index(node_type)]
        return TextFeature(self, node_type, column, words, config.hidden_size, width, count)

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
        count: Number of nodes of the type.
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
        count: int,
    ) -> None:
        encoding = EncoderUse(
            config.encoder,
            config.train,
            config.map,
            config.unit,
            config.cache,
            config.download,
            config.layers,
            config.refresh,
            config.gradient == "accumulate",
        )
        super().__init__(encoding, inputs, width, count)
        self.config, self.node_type, self.column = config, node_type, column
        self.words, (self.before, self.after) = words, words.frame
        self.pad = words.special.get("pad", 0)
        frame, several = len(self.before) + len(self.after), config.segments is not None
        at_once = min(config.segment, config.longest) if several else config.longest
        self.room = at_once - frame  # tokens of a text, or of a segment of it
        if self.room < 1:
            name = "segment" if several else "longest"
            expected = f"{name} of more than {frame} special tokens"
            raise GraphRecError("text", expected, at_once)
        self.most = -(-config.longest // at_once)  # segments
        learned = config.pooling == "attention"
        self.attend = nn.Linear(inputs, inputs) if learned else None
        self.query = nn.Linear(inputs, 1, bias=False) if learned else None
        self.attend_segments = nn.Linear(inputs, inputs) if learned and several else None
        self.query_segments = nn.Linear(inputs, 1, bias=False) if learned and several else None
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
        if self.config.segments is not None:
            how += f" {self.config.segments} {self.most}"
        return digest(self.start, self.token, how)

    def encode(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return ``[n, F]``."""
        if self.config.segments is not None:
            return self._encode_segments(encoder, nodes)
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

    def _encode_segments(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return ``[n, F]`` for texts that are encoded segment by segment."""
        first, frame = self.start[nodes], len(self.before) + len(self.after)
        total = (self.start[nodes + 1] - first).clamp(max=self.room * self.most)
        several = -(-total // self.room)  # segments of each text
        widest = total.clamp(max=self.room) + frame
        order, vectors = [], []
        for rows in batches(several * widest, self.config.batch_tokens):
            number = torch.arange(int(several[rows].max()), device=rows.device) * self.room
            begin = first[rows].unsqueeze(1) + number  # [b, S]
            count = (total[rows].unsqueeze(1) - number).clamp(min=0, max=self.room)
            flat = self._dense(begin.flatten(), count.flatten())
            ids = flat.view(*begin.shape, -1)  # [b, S, L]
            places = torch.arange(ids.shape[2], device=ids.device)
            seen = places < (count + frame).unsqueeze(2)
            there = count > 0
            states = bus_states(encoder, ids, seen, there)
            order.append(rows)
            segments = self._pooled_segments
            vectors.append(pooled_segments(states, seen, there, self._pooled, segments))
        pooled = torch.cat(vectors)
        return torch.empty_like(pooled).index_copy(0, torch.cat(order), pooled)

    def _dense(self, first: Tensor, count: Tensor) -> Tensor:
        """Return the framed token ids of texts, padded on the right: int64 ``[b, L]``."""
        before, after = (
            torch.tensor(ids, dtype=torch.int64, device=first.device)
            for ids in (self.before, self.after)
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

    def _pooled_segments(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Return one vector per text, of those of its segments: ``[b, F]``."""
        share = there / there.sum(1, keepdim=True)
        if self.attend_segments is not None and self.query_segments is not None:
            score = self.query_segments(self.attend_segments(vectors).tanh()).squeeze(2)
            share = score.masked_fill(~there, -torch.inf).softmax(1)
        return torch.einsum("bs,bsf->bf", share.to(vectors.dtype), vectors)
