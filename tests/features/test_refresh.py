"""Vectors of earlier steps and gradients of a whole step, against the plain forms."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.refresh import Refresh


@pytest.fixture
def training(graph, made, tiny_bert, tokenizer):
    """Give a function from options to a feature that trains, without dropout."""

    def make(**options):
        config = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, "train": "all"}
        built = made(graph, {**config, **options}).feature
        built.train()
        built.encoder.eval()  # without dropout
        return built

    return make


def moved(feature):
    """Change the weights of the encoder, as an optimiser step does."""
    with torch.no_grad():
        for parameter in feature.encoder.parameters():
            parameter.mul_(1.1)


def gradients(feature):
    return {name: each.grad for name, each in feature.named_parameters() if each.grad is not None}


def test_the_chance_grows_as_in_the_paper():
    chances = [Refresh(beta=0.002).chance(step) for step in (0, 1, 1000)]
    assert chances == pytest.approx([0, 0.001998, 0.864665], abs=1e-6)


def test_a_young_vector_stands_for_a_text_and_an_old_one_does_not(training):
    feature = training(refresh={"beta": float("inf"), "age": 2})
    nodes = torch.tensor([0, 1])
    values = []
    for step in range(4):
        feature.begin_step(step)
        values.append(feature.look(nodes))
        feature.finish_step()
        moved(feature)
    plain = training()
    plain.encoder.load_state_dict(feature.encoder.state_dict())
    with torch.no_grad():  # three changes of the weights lie between the first and the last
        for parameter in plain.encoder.parameters():
            parameter.div_(1.1)
    assert values[0].requires_grad
    assert torch.equal(values[1], values[0])
    assert torch.equal(values[2], values[0])
    assert not values[1].requires_grad
    assert not values[2].requires_grad
    torch.testing.assert_close(values[3], plain.look(nodes))
    assert values[3].requires_grad
    assert not torch.equal(values[3], values[0])


def test_texts_that_are_not_looked_up_are_encoded_with_a_gradient(training):
    feature, plain = training(refresh={"beta": float("inf"), "age": 9}), training()
    feature.begin_step(0)
    feature.look(torch.tensor([0]))
    feature.begin_step(1)
    found, expected = (each.look(torch.tensor([3, 0, 3])) for each in (feature, plain))
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    plain.look(torch.tensor([3, 3])).square().sum().backward()
    for name, expected in gradients(plain).items():
        torch.testing.assert_close(gradients(feature)[name], expected, msg=name)


def test_about_the_stated_share_is_looked_up(shop_of_titles, made, tiny_bert, tokenizer):
    config = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, "train": 0}
    feature = made(shop_of_titles(["pen"] * 400), {**config, "refresh": {"beta": 0.1}}).feature
    recent, nodes = feature.recent, torch.arange(400)
    recent.keep(nodes, torch.zeros(400, 16), 4)
    shares = [recent.taken(nodes, step).double().mean().item() for step in (5, 9, 14)]
    assert shares == pytest.approx([0.3935, 0.5934, 0.7534], abs=0.08)  # 1 − exp(−t / 10)
    assert torch.equal(recent.taken(nodes, 9), recent.taken(nodes, 9))
    assert not recent.taken(nodes, 4).any()  # made in this very step
    assert not recent.taken(nodes, 25).any()  # too old


def test_a_stage_begins_without_vectors_and_evaluation_takes_none(training):
    feature = training(refresh={"beta": float("inf")})
    feature.begin_step(5)
    feature.look(torch.arange(2))
    assert feature.recent.made.tolist() == [5, 5, -1, -1]
    moved(feature)
    feature.eval()
    plain = training()
    plain.encoder.load_state_dict(feature.encoder.state_dict())
    torch.testing.assert_close(feature.look(torch.arange(2)), plain.look(torch.arange(2)))
    feature.begin_step(0)
    assert feature.recent.made.tolist() == [-1] * 4


def test_vectors_are_part_of_the_state(training):
    feature = training(refresh={})
    feature.begin_step(3)
    feature.look(torch.arange(2))
    other = training(refresh={})
    other.load_state_dict(feature.state_dict())
    assert torch.equal(other.recent.vector, feature.recent.vector)
    assert other.recent.made.tolist() == [3, 3, -1, -1]


@pytest.mark.parametrize("refresh", [None, {"beta": float("inf")}])
def test_accumulated_gradients_equal_plain_ones(training, refresh):
    """Micro-batches and passes share texts; each goes backward before the next begins."""
    passes = [[0, 1, 0], [1, 3], [3, 2, 0]]
    found = []
    for gradient in ("plain", "accumulate"):
        feature = training(gradient=gradient, refresh=refresh)
        runs = []
        feature.encoder.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        if refresh:
            feature.begin_step(0)
            feature.look(torch.tensor([1]))
            feature.finish_step()
        runs.clear()
        feature.begin_step(1)
        for number, nodes in enumerate(passes):
            vectors = feature.look(torch.tensor(nodes))
            (vectors.square() * (number + 1)).sum().backward()
        feature.finish_step()
        found.append((gradients(feature), len(runs)))
    (plain, often), (accumulated, seldom) = found
    assert plain.keys() == accumulated.keys()
    assert plain
    for name in plain:
        torch.testing.assert_close(accumulated[name], plain[name], atol=1e-4, rtol=1e-4, msg=name)
    assert seldom < often


def test_a_frozen_encoder_keeps_nothing_between_steps(graph, tiny_bert, tokenizer):
    for option in ({"refresh": {}}, {"gradient": "accumulate"}):
        with pytest.raises(GraphRecError, match="an encoder that trains"):
            featurizer.build(
                {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, **option}
            )
