"""Generation beside transformers, on the same weights."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.predict.generator import generate
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from tests.predict.small_writers import NO_HEAD, WORDS, lists, model_of
from tests.tokens.text_world import reviews_graph


@pytest.fixture(scope="module")
def world() -> Graph:
    return reviews_graph()


def hugging(model: Model, name: str) -> Any:
    """Return the language model of transformers with the same weights."""
    import transformers

    kinds = {"gpt2": "GPT2LMHeadModel", "t5": "T5ForConditionalGeneration"}
    network: Any = model.backbone
    config = network.config
    config.eos_token_id, config.pad_token_id, config.tie_word_embeddings = 0, 0, True
    peer = getattr(transformers, kinds[name])(config)
    weights = {f"{peer.base_model_prefix}.{n}": w for n, w in network.model.state_dict().items()}
    if name == "t5":
        weights = dict(network.model.state_dict())
    peer.load_state_dict(weights, strict=False)
    peer.get_input_embeddings().weight.data.copy_(model.words)
    peer.tie_weights()
    return peer.eval()


@pytest.mark.filterwarnings("ignore:Passing `no_repeat_ngram_size`")
@pytest.mark.parametrize("how", ["greedy", "beam"])
def test_gpt2_writes_as_in_transformers(world: Graph, how: Any) -> None:
    model = model_of(world, "gpt2", seed=5)
    peer, draw = hugging(model, "gpt2"), torch.Generator().manual_seed(2)
    sizes = torch.tensor([4, 4, 4, 4])
    ids = torch.randint(1, WORDS, (4, 4), generator=draw)
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    view = View(Tokens.of(ids.flatten(), Kind.TEXT, ptr), "causal")
    beams = 3 if how == "beam" else 1
    wanted = Generation(how=how, beams=beams, longest=7, no_repeat=2, length_penalty=1.0)
    mine = lists(generate(model, view, wanted, Key(0), head=NO_HEAD))
    rows = []
    for row in ids:
        # Its n-grams count the prompt too, so the prompt goes in as vectors.
        vectors = peer.get_input_embeddings()(row.unsqueeze(0))
        out = peer.generate(
            inputs_embeds=vectors,
            attention_mask=torch.ones(1, 4, dtype=torch.int64),
            max_new_tokens=7,
            do_sample=False,
            num_beams=beams,
            no_repeat_ngram_size=2,
            early_stopping="never" if beams > 1 else False,
            length_penalty=1.0,
            pad_token_id=0,
            eos_token_id=0,
        )[0].tolist()
        rows.append(out[: out.index(0)] if 0 in out else out)
    assert mine == rows
    assert len({token for text in mine for token in text}) > 3


@pytest.mark.parametrize("how", ["greedy", "beam"])
def test_t5_writes_as_in_transformers(world: Graph, how: Any) -> None:
    model = model_of(world, "t5", seed=5)
    with torch.no_grad():  # where transformers begins: the vector of token 0
        model.embedding.special.weight[Special.BOS].copy_(model.words[0])
    peer, draw = hugging(model, "t5"), torch.Generator().manual_seed(2)
    ids = torch.randint(1, WORDS, (4, 5), generator=draw)
    whole = torch.cat([ids, torch.full((4, 1), int(Special.BOS))], dim=1)
    kind = torch.tensor([Kind.TEXT] * 5 + [Kind.SPECIAL]).repeat(4)
    tokens = Tokens.of(whole.flatten(), kind, torch.arange(0, 25, 6))
    view = View(tokens, "prefix", prefix=torch.full((4,), 5))
    beams = 3 if how == "beam" else 1
    scale = model.word_sides(torch.ones(1, 16)).query[0, 0].item()
    if scale == 1:  # logits of T5 are scaled where words are tied: undo it there
        peer.config.scale_decoder_outputs = False
        peer.model_dim = 1
    wanted = Generation(how=how, beams=beams, longest=7, no_repeat=2)
    mine = lists(generate(model, view, wanted, Key(0), head=NO_HEAD))
    out = peer.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=7,
        do_sample=False,
        num_beams=beams,
        no_repeat_ngram_size=2,
        early_stopping="never" if beams > 1 else False,
        pad_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )[:, 1:].tolist()
    assert mine == [row[: row.index(0)] if 0 in row else row for row in out]
    assert len({token for text in mine for token in text}) > 3
