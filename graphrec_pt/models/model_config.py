"""The shape of a model, as a config that JSON can hold."""

from dataclasses import is_dataclass, replace
from typing import Any, Self

from pydantic import Field

from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.outline import Outline
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.attachment import FAMILIES
from graphrec_pt.models.backbone import Backbone, backbone
from graphrec_pt.models.token_embedding import sizes_of


class ModelConfig(Strict):
    """Everything that a model's shape depends on; JSON-ready.

    Args:
        outline: Of the graph.
        features: Of its nodes.
        backbone: Config of the backbone.
        text: Size of the text vocabulary; 0 for no text tokens.
        prompts: Number of learned prompt tokens that linearizers may place.
        prompt: Config of a soft prompt, if any.
        adaptor: Config of an adaptor, if any.
    """

    outline: Outline
    features: Features = Features()
    backbone: Any = "graph_transformer"
    text: int = Field(0, ge=0)
    prompts: int = Field(0, ge=0)
    prompt: Any = None
    adaptor: Any = None

    def built(self, *, trust_code: bool = False) -> Self:
        """Return the same with configs replaced by what they describe, all sizes filled in.

        Args:
            trust_code: Allow dotted paths and installed plug-ins.

        Raises:
            GraphRecError: For names and options that are not known.
        """
        network = _sized(backbone.build(self.backbone, trust_code=trust_code), self.outline)
        features = self.features.built(trust_code=trust_code)
        attached = {
            kind: family.build(config, trust_code=trust_code)
            for kind, family in FAMILIES.items()
            if (config := getattr(self, kind)) is not None
        }
        return self.model_copy(update={"backbone": network, "features": features, **attached})

    def json_ready(self) -> dict[str, Any]:
        """Return the form that ``ModelConfig.checked`` turns back into an equal config."""
        return {
            **self.model_dump(mode="json", exclude={"features", "backbone", *FAMILIES}),
            "features": self.features.config(),
            "backbone": backbone.config(backbone.build(self.backbone)),
            **{
                kind: family.config(family.build(config))
                for kind, family in FAMILIES.items()
                if (config := getattr(self, kind)) is not None
            },
        }


def _sized(chosen: Backbone, outline: Outline) -> Any:
    structure = getattr(chosen, "structure", None)
    if structure is None or not is_dataclass(chosen):
        return chosen
    return replace(chosen, structure=sizes_of(structure, outline))
