"""The shape of a model, as a config that JSON can hold."""

from dataclasses import is_dataclass, replace
from typing import Any, Self

from pydantic import Field

from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.schema import Checked
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.adaptor import AdaptorField
from graphrec_pt.models.backbone import BackboneField
from graphrec_pt.models.prompts.family import PromptField
from graphrec_pt.models.token_embedding import sizes_of


def _none(value: object) -> bool:
    return value is None


class ModelConfig(Checked):
    """All options that define the shape of a model beside its graph: ``model:`` of a recipe.

    Args:
        features: Features of the nodes.
        backbone: Name, config or object.
        text: Size of the text vocabulary; 0 for no text tokens.
        prompts: Number of learned prompt tokens that linearizers may place.
        prompt: Name, config or object of a soft prompt, if any.
        adaptor: Name, config or object of an adaptor, if any.
    """

    features: Features = Field(default_factory=Features)
    backbone: BackboneField = Field("graph_transformer", validate_default=True)
    text: int = Field(0, ge=0)
    prompts: int = Field(0, ge=0)
    prompt: PromptField | None = Field(None, exclude_if=_none)
    adaptor: AdaptorField | None = Field(None, exclude_if=_none)

    def sized(self, spec: GraphSpec) -> Self:
        """Return the config with the graph's sizes of structural columns."""
        network: Any = self.backbone
        structure = getattr(network, "structure", None)
        if structure is None or not is_dataclass(network):
            return self
        network = replace(network, structure=sizes_of(structure, spec))  # type: ignore[type-var]
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
