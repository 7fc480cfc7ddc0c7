"""Backbones of Hugging Face: packed token vectors through any encoder or decoder."""

from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.features.gguf import PACKAGES
from graphrec_pt.features.pretrained import load_config, load_model
from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.backbone import backbone
from graphrec_pt.models.base import Base
from graphrec_pt.models.hugging_face_network import Network
from graphrec_pt.models.word_head import LANGUAGE_MODELS, class_with_head, has_head


def _positions() -> dict[str, int | None]:
    return {"position": 512}


@backbone("hugging_face")
class HuggingFace:
    """Config of a Hugging Face model that reads token vectors in place of word embeddings.

    Args:
        model: Folder or name of a model; or the config of one with new weights, such as
            ``{"model_type": "bert", "hidden_size": 64}``.
        pretrained: Read the weights of a folder or name, and not its config alone.
        width: D; a linear map goes in and one comes out where the hidden size H is another. H by
            default, which is read from a folder at once.
        mode: What a token sees unless the caller says otherwise.
        structure: Columns of the tokens as in the graph transformer. ``position`` becomes the
            position ids of the model; the others get a learned embedding.
        words: Keep the model's word embeddings, for text tokens; D must be H.
        head: Keep the model's language-model head beside its words, for logits as the model itself
            gives them. By default where the family's head is known (GPT-2, Llama, Mistral, Qwen2,
            T5, BART, BERT, RoBERTa, DistilBERT), and of a folder where it has weights for it.
        download: Let Hugging Face fetch a model that is not here.
    """

    model: str | dict[str, JsonValue]
    pretrained: bool = True
    width: int | None = Field(None, ge=1)
    mode: Mode = "bidirectional"
    structure: dict[str, int | None] = Field(default_factory=_positions)
    words: bool = False
    head: bool | None = None
    download: bool = False

    def __post_init__(self) -> None:
        if self.head and not self.words:
            raise GraphRecError("hugging_face", "words: true with head: true", "words: false")
        if isinstance(self.model, str) and self.width is not None:
            return  # a recipe is valid before its model is there
        config = self.inner_config()
        if self.width is None:
            object.__setattr__(self, "width", config.hidden_size)
        self._check_config(config)

    def _check_config(self, config: Any) -> None:
        if self.words and self.width != config.hidden_size:
            expected = f"width {config.hidden_size} with words"
            raise GraphRecError("hugging_face", expected, self.width)
        if self.head:
            class_with_head(config)

    @property
    def keeps_head(self) -> bool:
        """Whether the language-model head is kept."""
        if self.head is not None or not self.words:
            return bool(self.head)
        config = self.inner_config()
        if self.pretrained and isinstance(self.model, str):
            return has_head(config)
        return config.model_type in LANGUAGE_MODELS

    def build(self, seed: int) -> Network:
        """Return the network; new weights depend on the config and the seed alone."""
        assert self.width is not None
        width, config, head = self.width, self.inner_config(), self.keeps_head
        self._check_config(config)
        given = None
        if self.pretrained and isinstance(self.model, str):
            kind = class_with_head(config) if head else "AutoModel"
            given = load_model(self.model, download=self.download, kind=kind)
        options = config, given, width, self.mode, self.structure, self.words, head
        network = seeded(lambda: Network(*options), seed)
        if given is not None and isinstance(self.model, str):
            network.base = Base.of(self.model, network, ("model", "words", "word_head"))
        return network

    def inner_config(self) -> Any:
        """Return the config of the Hugging Face model.

        Raises:
            GraphRecError: For a model or an option that there is not.
        """
        if isinstance(self.model, str):
            if Path(self.model).name in PACKAGES and not Path(self.model).exists():
                name = Path(self.model).name
                hint = f"graphrec convert {name} {self.model}"
                raise GraphRecError("hugging_face", f"the folder of {name}", "none", hint)
            return load_config(self.model, download=self.download)
        from transformers import CONFIG_MAPPING, AutoConfig

        options = dict(self.model)
        family = options.pop("model_type", None)
        if not isinstance(family, str) or family not in CONFIG_MAPPING:
            hint = did_you_mean(str(family), CONFIG_MAPPING) if family else "bert, gpt2, t5"
            raise GraphRecError("hugging_face", "a model_type of transformers", family, hint)
        plain = AutoConfig.for_model(family)
        known = plain.to_dict().keys() | plain.attribute_map.keys()
        for name in options.keys() - known:
            hint = did_you_mean(name, known)
            raise GraphRecError("hugging_face", f"an option of {family}", repr(name), hint)
        return AutoConfig.for_model(family, **options)
