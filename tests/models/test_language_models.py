"""Backbones with their language-model heads give the logits of the models of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.backbone import backbone
from graphrec_pt.models.hugging_face import HuggingFace
from graphrec_pt.models.word_head import LANGUAGE_MODELS, WordHead

V = 40
SMALL: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
GPT2 = {name: size for name, size in SMALL.items() if name != "intermediate_size"}
LLAMA = {**SMALL, "num_key_value_heads": 1}
PLAIN: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
T5: dict[str, Any] = {
    "vocab_size": V,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 2,
}
BART: dict[str, Any] = {
    "vocab_size": V,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 32,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {**GPT2, **PLAIN}),
    "llama": ("llama", {**LLAMA, "tie_word_embeddings": True}),
    "llama untied": ("llama", {**LLAMA, "tie_word_embeddings": False}),
    "mistral": ("mistral", LLAMA),
    "qwen2": ("qwen2", LLAMA),
    "t5": ("t5", T5),
    "t5 gated": ("t5", {**T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}),
    "bart": ("bart", {**BART, **PLAIN}),
    "bart scaled": ("bart", {**BART, **PLAIN, "scale_embedding": True}),
    "bert": ("bert", SMALL),
    "roberta": ("roberta", {**SMALL, "max_position_embeddings": 40}),
    "distilbert": (
        "distilbert",
        {"vocab_size": V, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    ),
}
PROMPT, ANSWER = torch.tensor([5, 6, 7, 8, 9]), torch.tensor([3, 11, 12])


def whole_model(name: str) -> Any:
    """Return a small model of transformers in which every bias and norm counts."""
    family, options = CONFIGS[name]
    config = transformers.AutoConfig.for_model(family, **options)
    torch.manual_seed(0)
    maker: Any = getattr(transformers, LANGUAGE_MODELS[family])
    model = maker.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        if family == "bart":
            model.final_logits_bias.normal_()
    return model


def their_logits(model: Any) -> Tensor:
    """Return what transformers says: of the prompt, or of the answer to it."""
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            given = {"input_ids": PROMPT[None], "decoder_input_ids": ANSWER[None]}
            return model(**given).logits[0]
        return model(input_ids=PROMPT[None]).logits[0]


def our_logits(net: Any) -> Tensor:
    """Return the same through the backbone and its head."""
    mode = "bidirectional" if LANGUAGE_MODELS[net.config.model_type].endswith("MaskedLM") else None
    with torch.no_grad():
        if net.config.is_encoder_decoder:
            ids = torch.cat([PROMPT, ANSWER])
            prefix = torch.tensor([len(PROMPT)])
            ptr = torch.tensor([0, len(ids)])
            hidden = net(net.text_embedding(ids), ptr, {}, mode="prefix", prefix=prefix)
            hidden = hidden[len(PROMPT) :]
        else:
            ptr = torch.tensor([0, len(PROMPT)])
            hidden = net(net.text_embedding(PROMPT), ptr, {}, mode=mode or "causal")
        return net.word_head(hidden, net.text_embedding.weight).logits()


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_a_folder(name: str, tmp_path: Path) -> None:
    model = whole_model(name)
    model.save_pretrained(tmp_path)
    chosen = HuggingFace(model=str(tmp_path), words=True, structure={})
    assert chosen.keeps_head
    net = chosen.build(0).eval()
    ours, theirs = our_logits(net), their_logits(model)
    assert float(theirs.std()) > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    names = {name for name, _ in net.named_parameters()}
    assert ("word_head.table" in names) == (name in ("llama untied", "mistral", "qwen2"))


@pytest.mark.parametrize("name", ["gpt2", "t5", "bert"])
def test_new_weights_have_a_head_too(name: str) -> None:
    family, options = CONFIGS[name]
    config = {"model_type": family, **options}
    one, two = (
        HuggingFace(model=config, words=True, structure={}).build(seed).eval() for seed in (3, 3)
    )
    assert torch.equal(our_logits(one), our_logits(two))
    other = HuggingFace(model=config, words=True, structure={}).build(4).eval()
    assert not torch.equal(our_logits(one), our_logits(other))


def test_a_folder_without_a_head_has_none(tmp_path: Path) -> None:
    _, options = CONFIGS["bert"]
    transformers.BertModel(transformers.BertConfig(**options)).save_pretrained(tmp_path)
    chosen = HuggingFace(model=str(tmp_path), words=True, structure={})
    assert not chosen.keeps_head
    assert chosen.build(0).word_head is None
    assert not HuggingFace(model=str(tmp_path), structure={}).keeps_head


def built(**options: Any) -> Any:
    return backbone.build({"name": "hugging_face", "structure": {}, **options})


def test_a_head_needs_words_and_a_known_family() -> None:
    family, options = CONFIGS["bert"]
    with pytest.raises(GraphRecError, match="words: true with head: true"):
        built(model={"model_type": family, **options}, head=True)
    config = {"model_type": "electra", **SMALL}
    with pytest.raises(GraphRecError, match=r"a family with a known head .*got electra"):
        built(model=config, words=True, head=True)
    assert not HuggingFace(model=config, words=True, structure={}).keeps_head


def test_sides_by_hand() -> None:
    head = WordHead(bias=torch.nn.Parameter(torch.tensor([1.0, -1.0])), scale=0.5)
    words = torch.tensor([[1.0, 0.0], [2.0, 4.0]])
    sides = head(torch.tensor([[3.0, 1.0]]), words)
    assert sides.logits().tolist() == [[1.5 + 1, 0.5 * (6 + 4) - 1]]


@pytest.mark.parametrize("name", ["gpt2", "bert", "bart", "llama"])
def test_a_prompt_longer_than_the_positions(name: str) -> None:
    family, options = CONFIGS[name]
    net = built(model={"model_type": family, **options}, words=True).build(0).eval()
    room = net.positions
    x = torch.randn(room + 1, 16)
    expected = rf"sequences of at most {room} tokens, the model's positions, got {room + 1}"
    with pytest.raises(GraphRecError, match=expected), torch.no_grad():
        net(x, torch.tensor([0, room + 1]), {})
    with torch.no_grad():
        assert len(net(x[:room], torch.tensor([0, room]), {})) == room
