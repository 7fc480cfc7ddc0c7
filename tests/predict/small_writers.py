"""Small models that write, prompts for them, and their texts as lists."""

from typing import Any

import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import View
from graphrec_pt.predict.generator import Generated
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words
from tests.tokens.text_world import Whole

NO_HEAD = torch.nn.Identity()
WORDS = len(Whole.words)
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
LLAMA = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
T5 = {
    "model_type": "t5",
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
}
BART = {
    "model_type": "bart",
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}
OWN: dict[str, Any] = {
    "learned": {"structure": {"position": 64, "type": None}},
    "rotary": {"structure": {"kind": None}, "rotary": True},
    "prefix": {"structure": {"position": 64}, "mode": "prefix"},
}
PEERS = {"gpt2": GPT2, "llama": LLAMA, "t5": T5, "bart": BART}


def model_of(world: Graph, name: str, prompt: Any = None, seed: int = 0) -> Model:
    """Return a small model with random but telling weights."""
    if name in OWN:
        config: Any = GraphTransformer(width=16, layers=2, heads=2, dropout=0.0, **OWN[name])
    else:
        given = {**PEERS[name], "vocab_size": WORDS}
        counts = name in ("t5", "bart")
        config = {
            "name": "hugging_face",
            "model": given,
            "structure": {} if counts else {"position": 64},
            "words": True,
        }
    text = WORDS if name in OWN else 0
    model = Model.of(world, backbone=config, text=text, prompt=prompt, seed=seed)
    model.tokenizer = Words(Whole())
    with torch.no_grad():
        model.words.mul_(1 if name == "t5" else 6)
        for parameter in model.backbone.parameters():
            parameter.mul_(1.5)
    return model.eval()


def mode_of(name: str) -> Any:
    return "prefix" if name in ("prefix", "t5", "bart") else "causal"


def prompts(world: Graph, mode: Any, sizes: tuple[int, ...] = (3, 5, 4)) -> View:
    """Return prompts of nodes and words, with BOS at their ends."""
    draw = torch.Generator().manual_seed(1)
    items = world.nodes("item")
    parts, kinds = [], []
    for size in sizes:
        words = torch.randint(1, WORDS, (size - 1,), generator=draw)
        item = torch.randint(items.start, items.stop, (1,), generator=draw)
        parts.append(torch.cat([item, words, torch.tensor([int(Special.BOS)])]))
        kinds += [Kind.NODE, *[Kind.TEXT] * (size - 1), Kind.SPECIAL]
    ids, kind = torch.cat(parts), torch.tensor(kinds)
    ptr = torch.tensor([0, *(size + 1 for size in sizes)]).cumsum(0)
    type_ = torch.full_like(ids, -1)
    type_[kind == Kind.NODE] = world.schema.node_index("item")
    tokens = Tokens.of(ids, kind, ptr, type=type_)
    size = torch.tensor(sizes)
    root = ids[ptr[:-1]]
    return View(tokens, mode, prefix=size if mode == "prefix" else None, readable=size, root=root)


def lists(made: Generated) -> list[list[int]]:
    return [part.tolist() for part in made.id.split(made.ptr.diff().tolist())]
