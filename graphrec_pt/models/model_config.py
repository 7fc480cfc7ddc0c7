"""The shape of a model, as a config that JSON can hold."""

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, Self, cast

from pydantic import Field, model_validator

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import name_of
from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Checked
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.adaptor import AdaptorField
from graphrec_pt.models.backbone import BackboneField
from graphrec_pt.models.prompts.family import PromptField
from graphrec_pt.models.token_embedding import sizes_of
from graphrec_pt.tokens.stored import StoredTokenizer
from graphrec_pt.tokens.trained import size_of, train_words
from graphrec_pt.tokens.words import HASHED, TRAINED, Words

BACKBONE = "backbone"
"""Name of the tokenizer in the folder of the backbone."""


def _none(value: object) -> bool:
    return value is None


class ModelConfig(Checked):
    """All options that define the shape of a model beside its graph: ``model:`` of a recipe.

    Args:
        features: Features of the nodes.
        backbone: Name, config or object.
        text: Size of the text vocabulary, 0 for no text tokens; or the tokenizer of the model:
            ``trained:8000`` for a vocabulary that is fitted on the training graph,
            ``hashed:8192``, the folder of a tokenizer, or ``backbone`` for the tokenizer in the
            folder of the backbone.
        prompts: Number of learned prompt tokens that linearizers may place.
        prompt: Name, config or object of a soft prompt, if any.
        adaptor: Name, config or object of an adaptor, if any.
    """

    features: Features = Field(default_factory=Features)
    backbone: BackboneField = Field("graph_transformer", validate_default=True)
    text: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)] = 0
    prompts: int = Field(0, ge=0)
    prompt: PromptField | None = Field(None, exclude_if=_none)
    adaptor: AdaptorField | None = Field(None, exclude_if=_none)

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if isinstance(self.text, int) and self.text and self.keeps_words:
            expected = "no text size beside a backbone with words: true, which has a table of words"
            raise GraphRecError("model.text", expected, self.text, "text: backbone")
        return self

    @property
    def keeps_words(self) -> bool:
        """Whether the backbone brings its word embeddings, which are then the only ones."""
        return bool(getattr(self.backbone, "words", False))

    def tokenizer(self, graph: Graph | None = None) -> Words | None:
        """Return the tokenizer that `text` names; None for a size.

        Args:
            graph: The training graph, for a vocabulary that is fitted on it.

        Raises:
            GraphRecError: When there is no such tokenizer, or no graph to fit one on.
        """
        if isinstance(self.text, int):
            return None
        if self.text.startswith(TRAINED):
            size = size_of(self.text)
            if graph is None:
                got, hint = f"{self.text!r} alone", "Model.of(graph, text=…)"
                raise GraphRecError("model.text", "a graph to fit the vocabulary on", got, hint)
            return train_words(graph, size)
        source = self.text
        if source == BACKBONE:
            folder = getattr(self.backbone, "model", None)
            if not isinstance(folder, str):
                hint = "text: trained:8000, or backbone: {name: hugging_face, model: FOLDER}"
                expected = "a backbone in a folder that holds its tokenizer"
                raise GraphRecError("model.text", expected, name_of(self.backbone), hint)
            cast(Any, self.backbone).inner_config()  # raises where the folder is not there
            source = folder
        words = Words.of(source)
        stored = None if source.startswith(HASHED) else StoredTokenizer.of(words.tokenizer)
        return words if stored is None else Words(stored)

    @property
    def structure(self) -> Mapping[str, int | None]:
        """Sizes of the structural columns that the backbone reads; none for most other kinds."""
        columns: Mapping[str, int | None] | None = getattr(self.backbone, "structure", None)
        return columns or {}

    def sized(self, spec: GraphSpec) -> Self:
        """Return the config with the graph's sizes of structural columns."""
        network: Any = self.backbone
        if not self.structure or not is_dataclass(network):
            return self
        sizes = sizes_of(self.structure, spec)
        network = replace(network, structure=sizes)  # type: ignore[type-var]
        return self.model_copy(update={"backbone": network})


class Shape(ModelConfig):
    """Content of ``config.json`` of a saved model: its config and its graph's spec.

    Args:
        spec: Spec of the graph.
    """

    spec: GraphSpec

    @property
    def config(self) -> ModelConfig:
        """The config alone."""
        return ModelConfig(**{name: getattr(self, name) for name in ModelConfig.model_fields})
