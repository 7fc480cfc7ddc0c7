"""Token embedding: the input of a backbone, a vector and structural columns per token."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.positions import time_gap
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words

GAP = "gap"
"""Column of the logarithmic bucket of the time since the token before."""
GAPS = 32
NAMES = {Special.MASK: "mask", Special.BOS: "bos", Special.EOS: "eos", Special.SEP: "sep"} | {
    Special.CLS: "cls"
}
"""Special tokens that a tokenizer may have too, and what it calls them."""
COLUMNS = ("type", "kind", "slot", "position", "hop", "parent", "relation", "word", GAP)


class TokenEmbedding(nn.Module):
    """Vectors of tokens by kind: featurized nodes; tables for relations, specials and prompts.

    Args:
        spec: Spec of the graph.
        width: D.
        text: Size of the text vocabulary; 0 for no text.
        prompts: Number of learned prompt tokens.
    """

    def __init__(self, spec: GraphSpec, width: int, *, text: int = 0, prompts: int = 0) -> None:
        super().__init__()
        self.width = width
        self.relation = nn.Embedding(len(spec.relations), width)
        self.special = nn.Embedding(len(Special), width)
        self.text = nn.Embedding(text, width) if text else None
        self.prompt = nn.Embedding(prompts, width) if prompts else None

        self.register_parameter("gain", None)
        self.rows: dict[Special, int] = {}

    def stand_beside(self, rows: Mapping[Special, int]) -> None:
        """Make room for the words of a backbone: its special tokens, and a gain of node vectors.

        Args:
            rows: Rows of the words that are special tokens; the others keep vectors of their own.
        """
        self.gain = nn.Parameter(torch.ones(()))
        self.rows = dict(rows)

    @torch.no_grad()
    def balance(self, nodes: Tensor, words: Tensor) -> None:
        """Set the gain so that node vectors have the mean norm of the words.

        Args:
            nodes: ``[n, D]``.
            words: ``[V, D]``.
        """
        norm = nodes.norm(dim=1).mean()
        if self.gain is not None and bool(norm > 0):
            self.gain.copy_(words.norm(dim=1).mean() / norm)

    def _specials(self, ids: Tensor, words: nn.Embedding | None) -> Tensor:
        """Return the vectors of special tokens: the backbone's where it has them."""
        vectors: Tensor = self.special(ids)
        for special, row in self.rows.items():
            if words is not None:
                borrowed = words(torch.tensor([row], device=ids.device))  # [1, D]
                vectors = torch.where((ids == special).unsqueeze(1), borrowed, vectors)
        return vectors

    def forward(
        self,
        tokens: Tokens,
        nodes: Callable[[Tensor], Tensor],
        words: nn.Embedding | None = None,
    ) -> Tensor:
        """Return ``[T, D]``.

        Args:
            tokens: A packed batch.
            nodes: From global node ids to vectors.
            words: Word embeddings of a backbone that has its own, in place of the table.

        Raises:
            GraphRecError: For text or prompt tokens that there is no table for.
        """
        gain = self.gain
        tables: dict[Kind, Any] = {
            Kind.NODE: nodes if gain is None else lambda ids: nodes(ids) * gain,
            Kind.RELATION: self.relation,
            Kind.SPECIAL: lambda ids: self._specials(ids, words),
            Kind.TEXT: self.text if words is None else words,
            Kind.PROMPT: self.prompt,
        }
        out: Tensor | None = None
        for kind, table in tables.items():
            rows = (tokens.kind == kind).nonzero().squeeze(1)
            if not len(rows):
                continue
            if table is None:
                name = kind.name.lower()
                hint = "text: or prompts: in the model" if kind != Kind.NODE else ""
                raise GraphRecError("model", f"no {name} tokens", f"{len(rows)} of them", hint)
            vectors = table(tokens.id.index_select(0, rows))
            if len(rows) == len(tokens.id):
                return vectors  # type: ignore[no-any-return]
            if out is None:
                out = vectors.new_zeros(len(tokens.id), self.width)
            out = out.index_copy(0, rows, vectors)
        return self.special.weight.new_zeros(0, self.width) if out is None else out


def special_rows(words: Words, network: Any) -> dict[Special, int]:
    """Return the rows of a backbone's words that are special tokens of the library.

    The first token of a decoder's answer is what the backbone's own decoder starts with.

    Args:
        words: Tokenizer of the backbone.
        network: Config of the Hugging Face model.
    """
    rows = {each: words.special[name] for each, name in NAMES.items() if name in words.special}
    if getattr(network, "is_encoder_decoder", False):
        start = getattr(network, "decoder_start_token_id", None)
        start = network.pad_token_id if start is None else start
        if start is not None:
            rows[Special.BOS] = int(start)
    return rows


def structure_of(tokens: Tokens, names: Iterable[str]) -> dict[str, Tensor]:
    """Return structural columns of tokens by name: int64 ``[T]`` each.

    Raises:
        GraphRecError: For a name that is none of :data:`COLUMNS`.
    """
    columns = {}
    for name in names:
        if name not in COLUMNS:
            hint = did_you_mean(name, COLUMNS)
            raise GraphRecError("structure", "a column of the tokens", repr(name), hint)
        column = time_gap(tokens.time, tokens.ptr, GAPS) if name == GAP else getattr(tokens, name)
        if column is None:
            raise GraphRecError("structure", f"tokens with {name!r}", "none", "linearizer: text")
        columns[name] = column
    return columns


def sizes_of(structure: Mapping[str, int | None], spec: GraphSpec) -> dict[str, int | None]:
    """Return the number of values of each structural column, filled in where None.

    Raises:
        GraphRecError: For a column whose size does not follow from the graph.
    """
    known_sizes = {
        "type": len(spec.nodes),
        "relation": len(spec.relations),
        "kind": len(Kind),
        GAP: GAPS,
    }
    sizes: dict[str, int | None] = {}
    for name, size in structure.items():
        if name not in COLUMNS:
            hint = did_you_mean(name, COLUMNS)
            raise GraphRecError("structure", "a column of the tokens", repr(name), hint)
        if size is None and name not in known_sizes:
            raise GraphRecError("structure", f"a size of {name!r}", "none", f"{name}: 64")
        sizes[name] = known_sizes[name] if size is None else size
    return sizes
