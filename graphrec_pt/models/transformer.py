"""The graph transformer: packed tokens with structural embeddings, any attention mode, prompts."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.attention import Mode, Sight, seen
from graphrec_pt.kernels.sparse import check_ptr
from graphrec_pt.models.backbone import backbone
from graphrec_pt.models.cache import LayerCache
from graphrec_pt.models.layer import Frame, Layer
from graphrec_pt.models.positions import StructuralEmbedding, places, rotary
from graphrec_pt.models.prompt import PromptStates, with_soft_tokens


def _by_position() -> dict[str, int | None]:
    return {"position": 512}


@backbone("graph_transformer")
class GraphTransformer:
    """Config of the graph transformer.

    Args:
        width: D.
        layers: Number of layers.
        heads: H, a divisor of D.
        inner: Width of the feed-forward nets; 4 · D by default.
        mode: What a token sees unless the caller says otherwise.
        structure: Integer columns of the tokens that get a learned embedding, with the number of
            values of each; None where the graph tells it (``type``, ``relation``, ``kind``,
            ``gap``). Learned positions are the column ``position``.
        rotary: Rotary positions, from the column ``position`` where there is one.
        relations: Relations whose edges bias attention between their ends; 0 for no bias.
        activation: Activation of the feed-forward nets.
        dropout: Dropout of token vectors and of every branch.
        attention_dropout: Dropout of attention weights.
        checkpointing: Forget activations inside a layer and compute them again in backward.
    """

    width: int = Field(64, ge=1)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    inner: int | None = Field(None, ge=1)
    mode: Mode = "bidirectional"
    structure: dict[str, int | None] = Field(default_factory=_by_position)
    rotary: bool = False
    relations: int = Field(0, ge=0)
    activation: Literal["gelu", "relu"] = "gelu"
    dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise GraphRecError("graph_transformer", f"heads that divide {self.width}", self.heads)
        if self.rotary and self.width // self.heads % 2:
            raise GraphRecError(
                "graph_transformer", "heads of even width for rotary", self.width // self.heads
            )

    def build(self, seed: int) -> "Transformer":
        """Return a new network whose weights depend on the config and the seed alone."""
        return seeded(lambda: Transformer(self), seed)


class Transformer(nn.Module):
    """The network of :class:`GraphTransformer`; build it with :meth:`GraphTransformer.build`.

    Args:
        config: Its sizes and options.
    """

    def __init__(self, config: GraphTransformer) -> None:
        super().__init__()
        self.config = config
        self.structure = StructuralEmbedding(_known_sizes(config.structure), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            Layer(
                config.width,
                config.heads,
                config.inner or 4 * config.width,
                config.activation,
                config.relations,
                config.dropout,
                config.attention_dropout,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    @property
    def prompt_shape(self) -> tuple[int, int, int]:
        """Layers, heads and width of a head, which per-layer prompts must have."""
        config = self.config
        return config.layers, config.heads, config.width // config.heads

    def initialise(self, draw: torch.Generator) -> None:
        """Shrink what each branch adds, so that depth does not blow up the sum (GPT-2)."""
        for layer in self.layers:
            for name in ("out", "down"):
                layer.get_parameter(f"{name}.weight").mul_((2 * len(self.layers)) ** -0.5)

    def fuse(self) -> None:
        """Compile the feed-forward nets; attention is a kernel already."""
        for layer in self.layers:
            cast(Layer, layer).fuse()

    def forward(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        prompt: PromptStates | None = None,
        *,
        mode: Mode | None = None,
        order: Tensor | None = None,
        prefix: Tensor | None = None,
        edges: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden state of every token: ``[T, D]``.

        Args:
            x: ``[T, D]``, token vectors.
            ptr: int64 ``[B+1]``, where each sequence starts.
            structure: int64 ``[T]`` columns by name.
            prompt: Prompt states before the sequences.
            mode: See :func:`graphrec_pt.kernels.attention.attention`; that of the config by
                default.
            order: int64 ``[T]``, for mode ``"permuted"``.
            prefix: int64 ``[B]``, for mode ``"prefix"``.
            edges: int64 ``[M, 3]`` of (source, relation, target), tokens counted through the
                batch: the source sees the target with the bias of the relation.

        Raises:
            GraphRecError: For shapes, columns or modes that do not fit.
        """
        mode = mode or self.config.mode
        x, frame, kept_rows = self._begin(x, ptr, structure, prompt, mode, order, prefix, edges)
        for number, layer in enumerate(self.layers):
            x = self._step(layer, x, frame, _of_layer(prompt, number))
        out: Tensor = self.norm(x)
        return out if kept_rows is None else out.index_select(0, kept_rows)

    @property
    def positions(self) -> int | None:
        """Number of learned positions; None for no bound."""
        return self.structure.sizes.get("position")

    def begin_writing(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        prompt: PromptStates | None = None,
        *,
        mode: Mode | None = None,
        prefix: Tensor | None = None,
        edges: Tensor | None = None,
    ) -> tuple[Tensor, LayerCache]:
        """Return hidden states ``[T, D]`` as :meth:`forward` does, and the cache of the tokens.

        Args:
            x: ``[T, D]``, token vectors of the prompts.
            ptr: int64 ``[B+1]``.
            structure: int64 ``[T]`` columns by name.
            prompt: Prompt states before the sequences.
            mode: ``"causal"`` or ``"prefix"``.
            prefix: int64 ``[B]``, for mode ``"prefix"``.
            edges: int64 ``[M, 3]``, as in :meth:`forward`.
        """
        mode = mode or self.config.mode
        if mode not in ("causal", "prefix"):
            raise GraphRecError("graph_transformer", "mode 'causal' or 'prefix' to write", mode)
        x, frame, kept_rows = self._begin(x, ptr, structure, prompt, mode, None, prefix, edges)
        recorded: list[tuple[Tensor, Tensor]] = []
        frame = replace(frame, record=recorded)
        for number, layer in enumerate(self.layers):
            x = layer(x, frame, _of_layer(prompt, number))
        deep = None
        if prompt is not None and prompt.keys is not None and prompt.values is not None:
            deep = prompt.keys, prompt.values
        cache = LayerCache.of(recorded, frame.ptr, deep, ptr.diff())
        out: Tensor = self.norm(x)
        return out if kept_rows is None else out.index_select(0, kept_rows), cache

    def write(
        self, x: Tensor, structure: Mapping[str, Tensor], cache: LayerCache
    ) -> tuple[Tensor, LayerCache]:
        """Return the hidden state ``[n, D]`` of one more token of each sequence, and the new cache.

        Args:
            x: ``[n, D]``, token vectors.
            structure: int64 ``[n]`` columns by name.
            cache: Of n sequences; it is used up.
        """
        x = self.dropout(self.structure(x, structure)).unsqueeze(1)  # [n, 1, D]
        turn = None
        if self.config.rotary:
            position = structure.get("position", cache.places)
            turn = rotary(self.config.width // self.config.heads, position)
        ptr = torch.arange(len(x) + 1, device=x.device)
        cache.reserve()
        for number, layer in enumerate(self.layers):
            attend = partial(cache.attend, number, turn)
            x = layer(x, Frame(ptr, Sight(), attend=attend))
        out: Tensor = self.norm(x).squeeze(1)
        return out, cache.extended()

    def two_stream(
        self,
        x: Tensor,
        query: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        order: Tensor,
        prompt: PromptStates | None = None,
        *,
        edges: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return content and query streams of XLNet (Yang et al., NeurIPS 2019): two ``[T, D]``.

        The query stream of a token knows its place and the tokens of lower `order`, not its own
        content: predict the token from it.

        Args:
            x: ``[T, D]``, token vectors.
            query: ``[T, D]``, what the query stream starts from: a mask vector for all.
            ptr: int64 ``[B+1]``.
            structure: int64 ``[T]`` columns by name, for both streams.
            order: int64 ``[T]``, place of each token in the order of factorisation.
            prompt: Prompt states before the sequences.
            edges: int64 ``[M, 3]``, as in :meth:`forward`.
        """
        given = (structure, prompt)
        asking, strict, kept_rows = self._begin(
            query, ptr, *given, "permuted_query", order, None, edges
        )
        x, frame, _ = self._begin(x, ptr, *given, "permuted", order, None, edges)
        for number, layer in enumerate(self.layers):
            before = _of_layer(prompt, number)
            asking = self._step(layer, asking, strict, before, x)
            x = self._step(layer, x, frame, before)
        streams: tuple[Tensor, Tensor] = self.norm(x), self.norm(asking)
        if kept_rows is None:
            return streams
        return streams[0].index_select(0, kept_rows), streams[1].index_select(0, kept_rows)

    def _begin(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        prompt: PromptStates | None,
        mode: str,
        order: Tensor | None,
        prefix: Tensor | None,
        edges: Tensor | None,
    ) -> tuple[Tensor, Frame, Tensor | None]:
        """Return first hidden states, what the layers share, and the rows of the tokens."""
        if x.ndim != 2 or x.shape[1] != self.config.width:
            expected = f"token vectors [T, {self.config.width}]"
            raise GraphRecError("graph_transformer", expected, list(x.shape))
        check_ptr("graph_transformer", ptr, len(x))
        _check_edges(edges, self.config.relations, len(x))
        _check_layers(prompt, self.config)
        x = self.dropout(self.structure(x, structure))
        position = structure.get("position")
        if position is None:
            position = places(ptr, len(x))
        kept_rows = None
        if prompt is not None and prompt.tokens is not None:
            x, ptr, kept_rows, position, order, prefix, edges = with_soft_tokens(
                prompt.tokens, x, ptr, position, order, prefix, edges
            )
        turn = None
        if self.config.rotary:
            turn = rotary(self.config.width // self.config.heads, position)
        return x, Frame(ptr, seen(ptr, mode, order, prefix), turn, edges), kept_rows

    def _step(
        self,
        layer: nn.Module,
        x: Tensor,
        frame: Frame,
        prompt: tuple[Tensor, Tensor] | None,
        content: Tensor | None = None,
    ) -> Tensor:
        out: Tensor
        if self.config.checkpointing and torch.is_grad_enabled():
            out = checkpoint(layer, x, frame, prompt, content, use_reentrant=False)
        else:
            out = layer(x, frame, prompt, content)
        return out


def _known_sizes(structure: Mapping[str, int | None]) -> dict[str, int]:
    """Return the sizes of structural columns, all known by now."""
    for name, size in structure.items():
        if size is None:
            hint = f"structure: {{{name}: 16}}, or Model.of(graph, …), which looks it up"
            raise GraphRecError("graph_transformer", f"a size of {name!r}", "None", hint)
    return {name: size for name, size in structure.items() if size is not None}


def _of_layer(prompt: PromptStates | None, number: int) -> tuple[Tensor, Tensor] | None:
    return None if prompt is None else prompt.of_layer(number)


def _check_edges(edges: Tensor | None, relations: int, tokens: int) -> None:
    if edges is None or not relations:
        return
    if edges.dtype != torch.int64 or edges.ndim != 2 or edges.shape[1] != 3:
        got = f"{edges.dtype} {list(edges.shape)}"
        raise GraphRecError("graph_transformer", "edges int64 [M, 3]", got)
    if edges.device.type == "cpu":
        for name, column, limit in (
            ("edges between tokens", edges[:, [0, 2]], tokens),
            ("relations of edges", edges[:, 1], relations),
        ):
            if column.numel() and not 0 <= int(column.min()) <= int(column.max()) < limit:
                wrong = int(column.max()) if int(column.min()) >= 0 else int(column.min())
                raise GraphRecError("graph_transformer", f"{name} in [0, {limit})", wrong)


def _check_layers(prompt: PromptStates | None, config: GraphTransformer) -> None:
    if prompt is not None and prompt.keys is not None and len(prompt.keys) != config.layers:
        expected = f"prompt keys of {config.layers} layers"
        raise GraphRecError("graph_transformer", expected, len(prompt.keys))
