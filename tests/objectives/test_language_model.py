"""The language model: hand-computed losses, sequences as written, a world it learns entirely."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, sigmoid

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.pointer_head import PointerHead
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.objectives.language_model import LanguageModel
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.text_readout import TextReadout, without_answer
from graphrec_pt.tokens.answer_text import Answers, AnswerText
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words
from graphrec_pt.training.batches import lengths_of
from tests.tokens.text_world import Whole, review_of, reviews_graph

PAIRS = {
    "name": "both_ends",
    "source": {"name": "history", "relations": ["reviews"], "window": 1},
    "target": {"name": "history", "relations": ["reviewed_by"], "window": 1},
}
EVENT = {"of": "event", "column": "text"}


@pytest.fixture(scope="module")
def world() -> Graph:
    return reviews_graph()


def model_of(graph: Graph, *, width: int = 8, words: Words | None = None) -> Model:
    backbone = GraphTransformer(width=width, layers=1, heads=2, dropout=0.0)
    size = 16 if words is None else len(words)
    model = Model.of(graph, backbone=backbone, text=size)
    model.tokenizer = words
    return model


def pairs_of(graph: Graph) -> tuple[Tensor, Tensor]:
    edges = graph.edges("reviews")
    return torch.stack([edges.source, edges.target], dim=1), edges.edge


def test_an_answer_follows_its_prompt(world: Graph, making: Any) -> None:
    roots, edges = pairs_of(world)
    preparation = making.prepared(world, PAIRS, "subgraph", roots, edges)
    examples = making.examples(preparation, [0, 9])
    made = LanguageModel(answer=AnswerText(**EVENT), tokenizer=Whole()).corrupt(examples)
    tokens, words = made.views[0].tokens, Words(Whole())
    assert made.views[0].mode == "causal"
    assert made.count == len(made.targets["token"])
    for row, pair in enumerate((roots[0], roots[9])):
        mine = tokens.select(row)
        prompt = examples.tokens.select(row)
        user, item = (int(world.raw_id(int(node))) for node in pair)
        answer = words.encode(review_of(user, item))
        size = len(prompt.id)
        assert torch.equal(mine.id[:size], prompt.id)
        assert mine.id[size:].tolist() == [Special.BOS, *answer, Special.EOS]
        kinds = [Kind.SPECIAL, *[Kind.TEXT] * len(answer), Kind.SPECIAL]
        assert mine.kind[size:].tolist() == kinds
        assert mine.position[size:].tolist() == list(range(size, len(mine.id)))
        own = tokens.sequence_of()[made.targets["token"]] == row
        assert made.targets["id"][own].tolist() == [*answer, Special.EOS]
        last = made.targets["token"][own] - tokens.ptr[row]
        assert last.tolist() == list(range(size, len(mine.id) - 1))
        assert int(made.views[0].readable[row]) == size  # type: ignore[index]


def test_texts_of_both_ends_stay_in_the_prompt(world: Graph, making: Any) -> None:
    roots, edges = pairs_of(world)
    phrase = {"name": "verbalizer", "phrases": ["{item.title} 5"], "tokenizer": "hashed:99"}
    examples = making.examples(making.prepared(world, PAIRS, phrase, roots, edges), [0, 9])
    made = LanguageModel(answer=AnswerText(**EVENT), tokenizer=Whole()).corrupt(examples)
    assert torch.equal(made.views[0].readable, examples.tokens.lengths())  # type: ignore[arg-type]
    words = Words.of("hashed:99").encode(world.title(int(roots[9, 1])))
    assert examples.tokens.select(1).id.tolist()[: len(words)] == words


def test_batches_are_packed_by_all_that_is_read(world: Graph, making: Any) -> None:
    roots, edges = pairs_of(world)
    preparation = making.prepared(world, PAIRS, "subgraph", roots, edges)
    chosen = LanguageModel(answer=AnswerText(**EVENT), tokenizer=Whole())
    examples = making.examples(preparation, [0, 3, 9])
    read = chosen.corrupt(examples).views[0].tokens.lengths()
    assert torch.equal(chosen.lengths(examples), read)
    total = lengths_of(
        world, preparation.sampler, preparation.linearizer, roots, edges, 0, [chosen]
    )
    assert torch.equal(total[[0, 3, 9]], read)
    plain = lengths_of(world, preparation.sampler, preparation.linearizer, roots, edges)
    assert bool((plain < total).all())


def test_an_encoder_decoder_reads_the_prompt_both_ways(world: Graph, making: Any) -> None:
    roots, edges = pairs_of(world)
    preparation = making.prepared(world, PAIRS, "subgraph", roots, edges)
    examples = making.examples(preparation, [0, 9])
    chosen = LanguageModel(answer=AnswerText(**EVENT), mode="prefix", tokenizer=Whole())
    view = chosen.corrupt(examples).views[0]
    assert view.mode == "prefix"
    assert view.prefix is not None
    assert torch.equal(view.prefix, examples.tokens.lengths())


def test_without_an_answer_of_its_own_a_sequence_is_learned_after_its_last_bos(
    world: Graph, written: Any
) -> None:
    bos, eos = int(Special.BOS), int(Special.EOS)
    ids = [13, bos, 4, bos, 5, 6, eos, 7, 8]
    kinds = [Kind.SPECIAL if n in (bos, eos) else Kind.TEXT for n in ids]
    tokens = Tokens.of(torch.tensor(ids), torch.tensor(kinds), torch.tensor([0, 7, 9]))
    made = LanguageModel().corrupt(written(world, tokens))
    whole = made.views[0].tokens
    assert whole.select(0).id.tolist() == ids[:7]
    assert whole.select(1).id.tolist() == [bos, 7, 8, eos]  # begins and ends by itself
    assert made.targets["id"].tolist() == [5, 6, eos, 7, 8, eos]
    assert made.targets["token"].tolist() == [3, 4, 5, 7, 8, 9]
    readable = made.views[0].readable
    assert readable is not None
    assert readable.tolist() == [3, 0]
    prompts = LanguageModel().readout().prompt(world, tokens).tokens
    assert prompts.select(0).id.tolist() == [13, bos, 4, bos]
    assert prompts.select(1).id.tolist() == [bos, 7, 8]


def test_the_loss_is_the_cross_entropy_of_words_and_the_end(world: Graph) -> None:
    model = model_of(world, words=Words(Whole())).double()
    vocabulary = JointVocabulary(model, torch.nn.Identity())
    assert (vocabulary.end, len(vocabulary)) == (0, len(Whole.words))
    hidden = torch.randn(5, 8, dtype=torch.float64)
    kind = torch.tensor([Kind.TEXT, Kind.TEXT, Kind.SPECIAL, Kind.TEXT, Kind.SPECIAL])
    id = torch.tensor([4, 1, Special.EOS, 7, Special.BOS])
    number = vocabulary.numbers(kind, id)
    assert number.tolist() == [4, 1, 0, 7, -1]
    logits = hidden[:4] @ model.words.T
    for smoothing in (0.0, 0.3):
        expected = cross_entropy(logits, number[:4], label_smoothing=smoothing)
        torch.testing.assert_close(vocabulary.loss(hidden[:4], number[:4], smoothing), expected)
        rows = cross_entropy(logits, number[:4], label_smoothing=smoothing, reduction="none")
        torch.testing.assert_close(vocabulary.losses(hidden[:4], number[:4], smoothing), rows)
    torch.testing.assert_close(vocabulary.logp(hidden[:4]), log_softmax(logits, 1))


def test_a_tokenizer_without_an_end_gets_one_more_number(world: Graph) -> None:
    model = model_of(world).double()
    vocabulary = JointVocabulary(model, torch.nn.Identity())
    assert (vocabulary.end, len(vocabulary)) == (16, 17)
    hidden = torch.randn(3, 8, dtype=torch.float64)
    end = model.embedding.special.weight[Special.EOS]
    logits = torch.cat([hidden @ model.words.T, (hidden @ end).unsqueeze(1)], dim=1)
    torch.testing.assert_close(vocabulary.logp(hidden), log_softmax(logits, 1))


@pytest.mark.parametrize("gate", [False, True])
def test_words_and_nodes_share_one_distribution(world: Graph, gate: bool) -> None:
    model = model_of(world, words=Words(Whole())).double()
    head = seeded(lambda: PointerHead(8, gate), 0).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    vocabulary = JointVocabulary(model, head, ("item", "user"))
    words, items, users = len(Whole.words), 6, 8
    assert len(vocabulary) == words + items + users
    hidden = torch.randn(4, 8, dtype=torch.float64)
    of_words = hidden @ model.words.T
    table = torch.cat([model.table("item"), model.table("user")])
    of_nodes = head.node.sides(hidden, table)[0] @ table.T
    if gate:
        g = sigmoid(head.gate(hidden))  # type: ignore[misc]
        parts = (1 - g) * of_words.softmax(1), g * of_nodes.softmax(1)
        expected = torch.cat(parts, 1).log()
    else:
        expected = log_softmax(torch.cat([of_words, of_nodes + head.bias], 1), 1)
    torch.testing.assert_close(vocabulary.logp(hidden), expected)
    item, user = world.nodes("item")[2], world.nodes("user")[5]
    kind = torch.tensor([Kind.TEXT, Kind.NODE, Kind.NODE, Kind.SPECIAL])
    number = vocabulary.numbers(kind, torch.tensor([3, item, user, Special.EOS]))
    assert number.tolist() == [3, words + 2, words + items + 5, 0]
    assert [part.tolist() for part in vocabulary.tokens(number)] == [
        [Kind.TEXT, Kind.NODE, Kind.NODE, Kind.SPECIAL],
        [3, item, user, Special.EOS],
    ]
    rows = -expected.gather(1, number.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(vocabulary.losses(hidden, number), rows)
    torch.testing.assert_close(vocabulary.loss(hidden, number), rows.mean())
    if not gate:
        smooth = 0.8 * rows - 0.2 * expected.mean(1)
        torch.testing.assert_close(vocabulary.losses(hidden, number, 0.2), smooth)


def test_the_text_of_a_root_never_stands_in_its_own_prompt(world: Graph, making: Any) -> None:
    roots = torch.arange(*_ends(world.nodes("review")))
    sampler = {"name": "k_hop", "fanout": [2]}
    linear = {"name": "text", "tokenizer": Whole(), "base": "subgraph"}
    for nodes in (True, False):
        given = {**linear, "columns": {"review": "text", "item": "title"}, "nodes": nodes}
        examples = making.examples(making.prepared(world, sampler, given, roots), [0, 7, 20])
        assert bool((examples.tokens.kind == Kind.TEXT).any())
        answer = AnswerText(of="root", column="text")
        view = LanguageModel(answer=answer, tokenizer=Whole()).corrupt(examples).views[0]
        for row, root in enumerate(roots[[0, 7, 20]]):
            mine = view.tokens.select(row)
            before = mine.id[: int(view.readable[row])].tolist()  # type: ignore[index]
            kinds = mine.kind[: len(before)].tolist()
            prompt = [n for n, kind in zip(before, kinds, strict=True) if kind == Kind.TEXT]
            text = Words(Whole()).encode(world.tables["review"]["text"][int(root - roots[0])])
            runs = [prompt[n : n + len(text)] for n in range(len(prompt))]
            assert text not in runs


def _ends(ids: range) -> tuple[int, int]:
    return ids.start, ids.stop


def test_what_tells_the_answer_is_left_out_wherever_it_stands() -> None:
    # A root, its text, another node with its text, and the text of a node that is not named.
    text, node = int(Kind.TEXT), int(Kind.NODE)
    tokens = Tokens.of(
        torch.tensor([9, 1, 2, 8, 1, 2, 1, 2, 3, 9, 1]),
        torch.tensor([node, text, text, node, text, text, text, text, text, node, text]),
        torch.tensor([0, 11]),
        hop=torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]),
        word=torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]),
    )
    answers = Answers(torch.tensor([0, 2]), torch.tensor([1, 2]), torch.tensor([text, text]))
    left = without_answer(tokens, torch.tensor([9]), answers, of_root=True)
    assert left.id.tolist() == [9, 8, 1, 2, 9]  # what another node says stays
    assert left.position.tolist() == [0, 1, 2, 3, 4]
    other = without_answer(tokens, torch.tensor([8]), None)  # the answer is not of the root
    assert other.id.tolist() == [9, 1, 2, 8, 1, 2, 3, 9, 1]
    assert without_answer(tokens, torch.tensor([-1]), None) is tokens


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(GraphRecError, match="nodes that a gate may choose"):
        objective.build({"name": "language_model", "gate": True})
    with pytest.raises(GraphRecError, match="nodes to answer with"):
        objective.build({"name": "language_model", "answer": {"of": "target"}})
    readout = LanguageModel().readout()
    assert isinstance(readout.on("pairs"), TextReadout)
    assert readout.on("sets") is None


def test_a_missing_tokenizer_or_column_is_told(world: Graph, making: Any) -> None:
    roots, edges = pairs_of(world)
    examples = making.examples(making.prepared(world, PAIRS, "subgraph", roots, edges), [0])
    with pytest.raises(GraphRecError, match="a tokenizer"):
        LanguageModel(answer=AnswerText(**EVENT)).corrupt(examples)
    wrong = objective.build({"name": "language_model", "answer": {**EVENT, "column": "txt"}})
    with pytest.raises(GraphRecError, match="text column of review"):
        wrong.check(GraphSpec.of(world))
