"""The logits of words: two sides and a bias, whatever head a backbone has."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError

LANGUAGE_MODELS = {
    "gpt2": "AutoModelForCausalLM",
    "llama": "AutoModelForCausalLM",
    "mistral": "AutoModelForCausalLM",
    "qwen2": "AutoModelForCausalLM",
    "t5": "AutoModelForSeq2SeqLM",
    "bart": "AutoModelForSeq2SeqLM",
    "bert": "AutoModelForMaskedLM",
    "roberta": "AutoModelForMaskedLM",
    "distilbert": "AutoModelForMaskedLM",
}
"""Families whose head is known, and the class of transformers that has it."""
_WITH_HEAD = ("ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForConditionalGeneration")


class WordSides(NamedTuple):
    """What the logits of words are made of: ``query @ table.T + bias``.

    Args:
        query: ``[n, D']``.
        table: ``[V, D']``.
        bias: ``[V]``, or None.
    """

    query: Tensor
    table: Tensor
    bias: Tensor | None = None

    def logits(self) -> Tensor:
        """Return the logits of every word, for few rows: ``[n, V]``."""
        logits = self.query @ self.table.T
        return logits if self.bias is None else logits + self.bias


class WordHead(nn.Module):
    """The language-model head of a backbone: ``s · f(h)`` against its words or a table of its own.

    Args:
        transform: f, of masked language models; None for the identity.
        table: ``[V, D]`` of a head that is not tied to the words; None for a tied one.
        bias: ``[V]``, or None; a tensor that is no parameter stays as it is.
        scale: s; T5 has ``D^-1/2`` where its head is tied.
    """

    table: nn.Parameter | None
    bias: Tensor | None

    def __init__(
        self,
        transform: nn.Module | None = None,
        table: nn.Parameter | None = None,
        bias: Tensor | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.transform, self.scale = transform, scale
        self.register_parameter("table", table)
        if isinstance(bias, nn.Parameter) or bias is None:
            self.register_parameter("bias", bias)
        else:
            self.register_buffer("bias", bias)

    def forward(self, hidden: Tensor, words: Tensor) -> WordSides:
        """Return both sides and the bias.

        Args:
            hidden: ``[n, D]``.
            words: ``[V, D]``, the word embeddings.
        """
        query = hidden if self.transform is None else self.transform(hidden)
        query = query if self.scale == 1 else query * self.scale
        return WordSides(query, words if self.table is None else self.table, self.bias)


def has_head(config: Any) -> bool:
    """Return whether the weights of a folder hold a head that the library knows.

    Args:
        config: Config of the Hugging Face model.
    """
    names = tuple(config.architectures or ())
    return config.model_type in LANGUAGE_MODELS and any(n.endswith(_WITH_HEAD) for n in names)


def class_with_head(config: Any) -> str:
    """Return the class of transformers whose models have the head of a family.

    Raises:
        GraphRecError: For a family whose head is not known.
    """
    if config.model_type not in LANGUAGE_MODELS:
        expected = f"a family with a known head ({', '.join(LANGUAGE_MODELS)})"
        raise GraphRecError("hugging_face", expected, config.model_type, "head: false")
    return LANGUAGE_MODELS[config.model_type]


def split_head(whole: Any) -> tuple[Any, WordHead]:
    """Return a language model without its head, and the head.

    Args:
        whole: A model of a class of :data:`LANGUAGE_MODELS`; its modules are taken, not copied.
    """
    out, words = whole.get_output_embeddings(), whole.get_input_embeddings()
    transform, bias = _BEFORE.get(whole.config.model_type, _plain)(whole)
    tied = out.weight is words.weight
    scaled = bool(getattr(whole.config, "scale_decoder_outputs", False))
    scale = whole.config.hidden_size**-0.5 if scaled else 1.0
    head = WordHead(transform, None if tied else out.weight, bias, scale)
    return _base(whole), head


def _base(whole: Any) -> Any:
    base = whole.base_model
    if base is not whole:
        return base
    import transformers

    maker: Any = transformers.AutoModel
    with torch.device("meta"):
        base = maker.from_config(whole.config, trust_remote_code=False)
    for name, _ in list(base.named_children()):
        setattr(base, name, getattr(whole, name))
    return base.train(whole.training)


_Parts = tuple[nn.Module | None, Tensor | None]


def _plain(whole: Any) -> _Parts:
    return None, None


def _bert(whole: Any) -> _Parts:
    return whole.cls.predictions.transform, whole.cls.predictions.decoder.bias


def _roberta(whole: Any) -> _Parts:
    head = whole.lm_head
    return nn.Sequential(head.dense, nn.GELU(), head.layer_norm), head.decoder.bias


def _distilbert(whole: Any) -> _Parts:
    parts = whole.vocab_transform, whole.activation, whole.vocab_layer_norm
    return nn.Sequential(*parts), whole.vocab_projector.bias


def _bart(whole: Any) -> _Parts:
    return None, whole.final_logits_bias.squeeze(0).clone()


_BEFORE: dict[str, Callable[[Any], _Parts]] = {
    "bert": _bert,
    "roberta": _roberta,
    "distilbert": _distilbert,
    "bart": _bart,
}
"""What stands between hidden states and the table, by family."""
