"""Base classes of models and prompt encoders, as prompts and adaptors see them."""

from typing import ClassVar

import polars as pl
import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.node_features import NodeFeatures
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.base import Base
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.token_embedding import TokenEmbedding
from graphrec_pt.models.view import View
from graphrec_pt.models.word_head import WordHead, WordSides
from graphrec_pt.tokens.stored import StoredTokenizer
from graphrec_pt.tokens.words import HASHED, Words


class Host(nn.Module):
    """Base class of the model.

    Attributes:
        spec: Spec of the graph that the model is for.
        features: Features of its nodes.
        backbone: From vectors of tokens to hidden states.
        embedding: The vectors of tokens.
        tokenizer: The tokenizer of texts; None for a model whose config gives a size or no text.
        prompt: The prompt encoder; None where the model has no prompt.
    """

    spec: GraphSpec
    features: NodeFeatures
    backbone: nn.Module
    embedding: TokenEmbedding
    tokenizer: Words | None
    prompt: "PromptEncoder | None"

    @property
    def width(self) -> int:
        """D."""
        return self.features.width

    def nodes(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes by global id, as they go in: ``[n, D]``."""
        vectors: Tensor = self.features(nodes)
        return vectors

    def table(self, node_type: str) -> Tensor:
        """Return the vectors of all nodes of a type: ``[V, D]``."""
        return self.features.table(node_type)

    @property
    def num_words(self) -> int:
        """V, the rows of :attr:`words`; 0 for a model without words."""
        table = self._word_table
        return 0 if table is None else table.num_embeddings

    @property
    def words(self) -> Tensor:
        """The only table of words, in and out: ``[V, D]``; the backbone's if it keeps its own.

        Raises:
            GraphRecError: For a model without words.
        """
        table = self._word_table
        if table is None:
            hint = "text: trained:8000, or words: true of a backbone that has them"
            raise GraphRecError("model", "a table of words", "none", hint)
        return table.weight

    @property
    def _word_table(self) -> nn.Embedding | None:
        table: nn.Embedding | None = getattr(self.backbone, "text_embedding", None)
        return self.embedding.text if table is None else table

    @property
    def transforms_words(self) -> bool:
        """Whether the backbone brings a head that transforms hidden states, as BERT's does."""
        head: WordHead | None = getattr(self.backbone, "word_head", None)
        return head is not None and head.transform is not None

    def word_sides(self, hidden: Tensor) -> WordSides:
        """Return what the logits of words are made of; hidden: ``[n, D]``."""
        head: WordHead | None = getattr(self.backbone, "word_head", None)
        return WordSides(hidden, self.words) if head is None else head(hidden, self.words)

    @torch.no_grad()
    def balance(self, graph: Graph) -> None:
        """Let the first nodes of each type have the mean norm of the backbone's words."""
        owned = [graph.nodes(name) for name in graph.schema.node_names]
        first = [torch.arange(each.start, min(each.stop, each.start + 64)) for each in owned]
        training = self.features.training
        self.features.eval()
        self.embedding.balance(self.features(torch.cat(first).to(self.words.device)), self.words)
        self.features.train(training)

    @property
    def base(self) -> Base | None:
        """The base that the backbone was read from, if it was."""
        base: Base | None = getattr(self.backbone, "base", None)
        return base

    def stored_tokenizer(self) -> StoredTokenizer | None:
        """Return the tokenizer that is saved with the model; None where its name is enough.

        Raises:
            GraphRecError: For one that no file can hold.
        """
        words = self.tokenizer
        if words is None or words.name.startswith(HASHED):
            return None
        if not isinstance(words.tokenizer, StoredTokenizer):
            expected = "a fast tokenizer of Hugging Face, which a file can hold"
            raise GraphRecError("save_pretrained", expected, words.name, "text: trained:8000")
        return words.tokenizer


class PromptEncoder(nn.Module):
    """Base class of networks that make the prompt of a batch; kept as ``model.prompt``."""

    reads: ClassVar[bool] = False
    """Whether the prompt encoder needs a graph."""

    def attach_graph(self, graph: Graph) -> None:
        """Read the needed parts of a graph; called before the first pass and per new graph."""

    def row_names(self) -> dict[str, pl.Series]:
        """Return names for the rows of weights, by weight; see ``Feature.row_names``."""
        return {}

    def forward(self, view: View, model: Host) -> PromptStates:
        """Return the prompt of the sequences of a view.

        Args:
            view: B sequences.
            model: Has the vectors of nodes: ``model.nodes(ids)``.
        """
        raise TypeError(f"{type(self).__name__} has no forward")
