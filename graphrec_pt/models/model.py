"""The model: features of nodes, vectors of tokens, a backbone over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from typing import Any, Self

from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.backbone import Backbone, backbone
from graphrec_pt.models.prompt import Prompt
from graphrec_pt.models.token_embedding import TokenEmbedding, sizes_of, structure_of
from graphrec_pt.models.view import Encoded, View


class ModelConfig(Strict):
    """Everything that a model's shape depends on; JSON-ready.

    Args:
        outline: Of the graph.
        features: Of its nodes.
        backbone: Config of the backbone.
        text: Size of the text vocabulary; 0 for no text tokens.
        prompts: Number of learned prompt tokens that linearizers may place.
    """

    outline: Outline
    features: Features = Features()
    backbone: Any = "graph_transformer"
    text: int = Field(0, ge=0)
    prompts: int = Field(0, ge=0)

    def json_ready(self) -> dict[str, Any]:
        """Return the form that ``ModelConfig.checked`` turns back into an equal config."""
        return {
            **self.model_dump(mode="json", exclude={"features", "backbone"}),
            "features": self.features.config(),
            "backbone": backbone.config(backbone.build(self.backbone)),
        }


class Model(nn.Module):
    """From views of tokens to hidden states.

    Args:
        config: Its shape.
        seed: Of the first weights, which are a function of it and the config.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        chosen = _sized(backbone.build(config.backbone), config.outline)
        self.config = config.model_copy(update={"backbone": chosen})
        width = chosen.width
        self.features = seeded(lambda: config.features.build(config.outline, width), seed)
        self.embedding = seeded(
            lambda: TokenEmbedding(config.outline, width, text=config.text, prompts=config.prompts),
            seed,
        )
        self.backbone = chosen.build(seed)
        self._columns = tuple(getattr(chosen, "structure", {}))

    @classmethod
    def of(
        cls,
        graph: Graph,
        *,
        backbone: Any = "graph_transformer",
        features: Features | None = None,
        text: int = 0,
        prompts: int = 0,
        seed: int = 0,
    ) -> Self:
        """Return a new model of a graph, bound to it.

        Args:
            graph: What training may see.
            backbone: Name, config or object.
            features: One learned vector per node by default.
            text: Size of the text vocabulary.
            prompts: Number of learned prompt tokens.
            seed: Of the first weights.
        """
        config = ModelConfig(
            outline=Outline.of(graph),
            features=features or Features(),
            backbone=backbone,
            text=text,
            prompts=prompts,
        )
        return cls(config, seed).bind(graph)

    @property
    def width(self) -> int:
        """D."""
        return int(self.config.backbone.width)

    @property
    def outline(self) -> Outline:
        """Of the graph that the model is for."""
        return self.config.outline

    def bind(self, graph: Graph) -> Self:
        """Read what the features need of a graph, and return the model.

        Raises:
            GraphRecError: When the graph has other nodes than the model.
        """
        self.features.bind(graph)
        return self

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the vectors of a node type at most once inside the block: one forward pass."""
        with self.features.held():
            yield

    def encode(self, view: View, prompt: Prompt | None = None) -> Encoded:
        """Return the hidden states of a view.

        Args:
            view: Tokens and who sees whom.
            prompt: What stands before every sequence.
        """
        tokens = view.tokens
        x = self.embedding(tokens, self.features)  # [T, D]
        structure = structure_of(tokens, self._columns)
        if view.two_stream:
            assert view.order is not None
            query = self.embedding.special.weight[1].expand_as(x)
            hidden, asked = self.backbone.two_stream(
                x, query, tokens.ptr, structure, view.order, prompt, edges=tokens.edges
            )
            return Encoded(view, hidden, asked)
        hidden = self.backbone(
            x,
            tokens.ptr,
            structure,
            prompt,
            mode=view.mode,
            order=view.order,
            prefix=view.prefix,
            edges=tokens.edges,
        )
        return Encoded(view, hidden)

    def nodes(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes by global id, as they go in: ``[n, D]``."""
        vectors: Tensor = self.features(nodes)
        return vectors

    def table(self, node_type: str) -> Tensor:
        """Return the vectors of all nodes of a type: ``[V, D]``."""
        return self.features.table(node_type)


def _sized(chosen: Backbone, outline: Outline) -> Any:
    structure = getattr(chosen, "structure", None)
    if structure is None or not is_dataclass(chosen):
        return chosen
    return replace(chosen, structure=sizes_of(structure, outline))
