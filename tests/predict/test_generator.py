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
from graphrec_pt.models.view import View
from graphrec_pt.models.writing import Reading, begin, write
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.predict.generator import Generated, generate, sampled
from graphrec_pt.predict.restrictions import repeats
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.trie import Trie
from graphrec_pt.tokens.words import Words
from tests.predict.small_writers import (
    NO_HEAD,
    OWN,
    PEERS,
    WORDS,
    lists,
    mode_of,
    model_of,
    prompts,
)
from tests.tokens.text_world import reviews_graph


@pytest.fixture(scope="module")
def world() -> Graph:
    return reviews_graph()


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
