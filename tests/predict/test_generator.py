"""Generation: against full enumeration, without a cache, and against transformers."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.pointer_head import PointerHead
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import View
from graphrec_pt.models.writing import Reading, begin, write
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.predict.generator import Generated, generate, sampled
from graphrec_pt.predict.restrictions import repeats
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.trie import Trie
from graphrec_pt.tokens.words import Words
from tests.tokens.text_world import Whole, reviews_graph

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


@pytest.fixture(scope="module")
def world() -> Graph:
    return reviews_graph()


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


PROMPTS = [None, {"name": "soft_tokens", "size": 2}, {"name": "prefix", "size": 2}]


@pytest.mark.parametrize("name", [*OWN, *PEERS])
@pytest.mark.parametrize("prompt", PROMPTS, ids=["none", "soft", "prefix"])
def test_a_cache_changes_nothing(world: Graph, name: str, prompt: Any) -> None:
    mode = mode_of(name)
    if prompt is not None and prompt["name"] == "prefix" and name in ("t5", "bart"):
        pytest.skip("an encoder–decoder takes no per-layer prompt")
    model, view = model_of(world, name, prompt), prompts(world, mode)
    item = world.nodes("item")[3]
    coming = torch.tensor([[5, 7, 2], [item, 1, item], [3, 3, 9]])
    with torch.no_grad(), model.cached_embeddings():
        state, cache = begin(model, view)
        plain, read = begin(model, view, cached=False)
        assert not isinstance(cache, Reading)
        torch.testing.assert_close(state, plain)
        position = view.tokens.position[view.tokens.ptr[1:] - 1]
        for step in range(3):
            id = coming[:, step]
            kind = torch.where(id >= WORDS, int(Kind.NODE), int(Kind.TEXT))
            type_ = torch.where(id >= WORDS, world.schema.node_index("item"), -1)
            ptr, position = torch.arange(4), position + 1
            tokens = Tokens.of(id, kind, ptr, type=type_, position=position)
            state, cache = write(model, tokens, cache)
            plain, read = write(model, tokens, read)
            torch.testing.assert_close(state, plain, rtol=1e-4, atol=1e-5)
            if step == 0:  # sequences may change places, stop, and come twice
                rows = torch.tensor([2, 0, 0])
                cache, read = cache.select(rows), read.select(rows)
                coming, position = coming[rows], position[rows]


@pytest.mark.parametrize("how", ["greedy", "sample", "beam"])
@pytest.mark.parametrize("name", ["learned", "gpt2", "t5"])
def test_texts_are_those_without_a_cache_and_of_every_batching(
    world: Graph, name: str, how: Any
) -> None:
    model = model_of(world, name)
    wanted = Generation(how=how, longest=6, beams=3, temperature=1.5)
    draws = torch.tensor([40, 10, 30])

    def made(view: View, draws: Tensor, cached: bool = True) -> list[list[int]]:
        given = {"head": NO_HEAD, "draws": draws, "cached": cached}
        return lists(generate(model, view, wanted, Key(3), **given))

    view = prompts(world, mode_of(name))
    together = made(view, draws)
    assert together == made(view, draws, cached=False)
    for row in range(3):
        one = torch.tensor([row])
        prefix = None if view.prefix is None else view.prefix[one]
        alone = View(view.tokens.select(one), view.mode, prefix=prefix)
        assert made(alone, draws[one]) == [together[row]]
    if how == "sample":
        assert made(view, draws + 1) != together


def scored(model: Model, view: View, row: int, numbers: list[int]) -> Iterator[float]:
    """Yield the log-probability of each number after one prompt, all read anew."""
    vocabulary = JointVocabulary(model, NO_HEAD)
    prefix = None if view.prefix is None else view.prefix[row : row + 1]
    alone = View(view.tokens.select(row), view.mode, prefix=prefix)
    with torch.no_grad(), model.cached_embeddings():
        state, read = begin(model, alone, cached=False)
        position = alone.tokens.position[-1:]
        for number in numbers:
            yield float(vocabulary.logp(state)[0, number])
            position = position + 1
            one = Tokens.of(
                torch.tensor([number]), Kind.TEXT, torch.tensor([0, 1]), position=position
            )
            state, read = write(model, one, read)


@pytest.mark.parametrize("penalty", [0.0, 1.0, -0.5])
def test_wide_beams_find_the_best_of_all_texts(world: Graph, penalty: float) -> None:
    model, view = model_of(world, "learned", seed=2), prompts(world, "causal", (3, 2))
    trie = Trie.of([list(name) for n in (1, 2, 3) for name in product((2, 5, 9), repeat=n)])
    wanted = Generation(how="beam", beams=40, longest=3, length_penalty=penalty)
    made = generate(model, view, wanted, Key(0), head=NO_HEAD, trie=trie, best=5)
    assert made.row.tolist() == [0] * 5 + [1] * 5
    for row in range(2):
        every = []
        for n in (1, 2, 3):
            for name in product((2, 5, 9), repeat=n):
                score = sum(scored(model, view, row, [*name, 0])) / (n + 1) ** penalty
                every.append((score, list(name)))
        every.sort(reverse=True)
        mine = slice(5 * row, 5 * row + 5)
        assert lists(made)[mine] == [name for _, name in every[:5]]
        expected = torch.tensor([score for score, _ in every[:5]], dtype=torch.float64)
        torch.testing.assert_close(made.score[mine], expected, rtol=1e-4, atol=1e-5)


def test_greedy_takes_the_best_token_and_tells_its_probability(world: Graph) -> None:
    model, view = model_of(world, "rotary", seed=1), prompts(world, "causal")
    made = generate(model, view, Generation(longest=5), Key(0), head=NO_HEAD)
    for row, numbers in enumerate(lists(made)):
        ended = [*numbers, 0] if len(numbers) < 5 else numbers
        found = list(scored(model, view, row, ended))
        assert float(made.score[row]) == pytest.approx(sum(found), abs=1e-4)
    first = JointVocabulary(model, NO_HEAD)
    with torch.no_grad(), model.cached_embeddings():
        best = first.logp(begin(model, view)[0]).argmax(1).tolist()
    assert [(numbers or [0])[0] for numbers in lists(made)] == best


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


NAMES = st.lists(
    st.lists(st.integers(1, WORDS - 1), min_size=1, max_size=4).map(tuple),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(NAMES, st.sampled_from(["greedy", "beam", "sample"]), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_within_names_everything_that_is_written_exists(
    names: list[tuple[int, ...]], how: Any, seed: int
) -> None:
    world = reviews_graph()
    model, view = model_of(world, "learned", seed=seed), prompts(world, "causal")
    wanted = Generation(how=how, longest=4, beams=3, within="names", no_repeat=1, shortest=3)
    trie = Trie.of(names)
    made = generate(model, view, wanted, Key(seed), head=NO_HEAD, trie=trie)
    assert len(made.row) == 3
    assert all(tuple(name) in names for name in lists(made))


@given(st.integers(0, 200), st.sampled_from(["greedy", "beam", "sample"]))
@settings(max_examples=20, deadline=None)
def test_within_edges_every_step_between_nodes_is_an_edge(seed: int, how: Any) -> None:
    world = reviews_graph()
    model, view = model_of(world, "learned", seed=seed), prompts(world, "causal")
    nodes = ("user", "item", "review")
    head = seeded(lambda: PointerHead(16, gate=True), seed)
    with torch.no_grad():
        assert head.gate is not None
        head.gate.bias.fill_(3.0)  # mostly nodes
    wanted = Generation(how=how, longest=6, beams=2, within="edges", new_nodes=seed % 2 == 1)
    made = generate(model, view, wanted, Key(seed), head=head, nodes=nodes, graph=world)
    steps = 0
    for row, low, high in zip(
        made.row.tolist(), made.ptr[:-1].tolist(), made.ptr[1:].tolist(), strict=True
    ):
        ids, kinds = made.id[low:high], made.kind[low:high]
        told = ids[kinds == Kind.NODE].tolist()
        last = int(view.tokens.id[view.tokens.ptr[row]])
        if wanted.new_nodes:
            assert len({last, *told}) == len(told) + 1
        for node in told:
            assert node in world.neighbors(last).tolist()
            last, steps = node, steps + 1
    assert steps > 0


def test_restrictions_on_words(world: Graph) -> None:
    rows, numbers = repeats(torch.tensor([[1, 2, 1, 3, 1], [4, 4, 5, 6, 7]]), 2)
    assert list(zip(rows.tolist(), numbers.tolist(), strict=True)) == [(0, 2), (0, 3)]
    assert not len(repeats(torch.tensor([[1]]), 2)[0])
    model, view = model_of(world, "learned", seed=4), prompts(world, "causal")
    wanted = Generation(longest=9, shortest=5, no_repeat=1)
    for text in lists(generate(model, view, wanted, Key(0), head=NO_HEAD)):
        assert 5 <= len(text) <= 9
        assert len(set(text)) == len(text)


def test_sampling_follows_the_probabilities() -> None:
    logp = torch.tensor([0.5, 0.2, 0.2, 0.1, 0.0]).log().expand(4000, -1)
    bits = (torch.arange(4000) * (1 << 32)) // 4000
    plain = sampled(logp, bits, Generation(how="sample"))
    expected = torch.tensor([2000, 800, 800, 400, 0])
    assert (torch.bincount(plain, minlength=5) - expected).abs().max() <= 1
    nucleus = sampled(logp, bits, Generation(how="sample", top_p=0.6))
    counts = torch.bincount(nucleus, minlength=5)
    assert counts.tolist()[2:] == [0, 0, 0]
    assert int(counts[0]) == pytest.approx(4000 * 5 / 7, abs=2)
    sharp = sampled(logp, bits, Generation(how="sample", temperature=0.5))
    weights = torch.tensor([0.25, 0.04, 0.04, 0.01, 0.0])
    squared = 4000 * weights / weights.sum()
    assert (torch.bincount(sharp, minlength=5) - squared).abs().max() < 2


def test_texts_name_nodes_by_their_titles(world: Graph) -> None:
    model, item = model_of(world, "learned"), world.nodes("item")[4]
    kinds = torch.tensor([Kind.TEXT, Kind.NODE, Kind.TEXT, Kind.TEXT, Kind.NODE])
    ids = torch.tensor([1, item, 2, 6, item])
    none = torch.zeros(2)
    made = Generated(torch.tensor([0, 4, 5]), ids, kinds, none, torch.arange(2))
    title = world.title(item)
    assert made.texts(model) == [f"a {title} red ball", title]
    assert [part.tolist() for part in made.nodes()] == [[item, item], [0, 1]]


def test_what_cannot_be_written_is_told(world: Graph) -> None:
    model, view = model_of(world, "learned"), prompts(world, "causal")

    def made(**options: Any) -> Generated:
        given = {name: options.pop(name) for name in ("trie", "best") if name in options}
        return generate(model, view, Generation(**options), Key(0), head=NO_HEAD, **given)

    with pytest.raises(GraphRecError, match="names to write within"):
        made(within="names")
    with pytest.raises(GraphRecError, match="longest of at least 3"):
        made(within="names", longest=2, trie=Trie.of([[1, 2, 3]]))
    with pytest.raises(GraphRecError, match="nodes and a graph"):
        made(within="edges")
    with pytest.raises(GraphRecError, match="within 64 positions, got 104"):
        made(longest=99)
    with pytest.raises(GraphRecError, match="as many beams as texts"):
        made(best=2)
    empty = View(view.tokens.take(torch.arange(4)), "causal")
    with pytest.raises(GraphRecError, match="at least one token"):
        generate(model, empty, Generation(), Key(0), head=NO_HEAD)
    model.tokenizer = Words.of("hashed:14")
    with pytest.raises(GraphRecError, match="one that can write text"):
        made().texts(model)
