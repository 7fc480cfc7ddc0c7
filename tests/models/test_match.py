"""Match heads against loops over candidates and histories."""

import math

import torch
from torch import Tensor

from graphrec_pt.models.match import (
    AdditiveMatch,
    BilinearMatch,
    Context,
    CrossModalMatch,
    DotMatch,
    Sides,
    masked_softmax,
)

D = 4


def world() -> tuple[Context, Sides]:
    draw = torch.Generator().manual_seed(3)

    def floats(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw)

    there = torch.tensor([[True, True, False], [True, True, True]])
    has_image = torch.tensor([[True, False, False], [True, True, False]])
    images = floats(2, 3, D) * has_image.unsqueeze(2)
    candidate = torch.tensor([[True, False, True, True, False], [True, True, False, True, True]])
    context = Context(
        floats(2, D), floats(2, 3, D), there, floats(2, 3, D), images, there, has_image
    )
    return context, Sides(floats(2, 5, D), floats(2, 5, D) * candidate.unsqueeze(2), candidate)


def attended(query: Tensor, past: list[Tensor]) -> Tensor:
    if not past:
        return torch.zeros(D)
    logits = [float(query @ each) / math.sqrt(D) for each in past]
    weights = [math.exp(each) for each in logits]
    return sum(
        (w / sum(weights) * each for w, each in zip(weights, past, strict=True)), torch.zeros(D)
    )


def test_cross_modal_is_four_attentions_over_what_is_there() -> None:
    context, sides = world()
    found = CrossModalMatch(D)(context, sides)
    for row in range(2):
        texts = [context.items[row, n] for n in range(3) if context.has_item[row, n]]
        images = [context.images[row, n] for n in range(3) if context.has_image[row, n]]
        for place in range(5):
            t, v = sides.items[row, place], sides.images[row, place]
            user = attended(t, texts) + attended(t, images)
            if sides.has_image[row, place]:
                user = user + attended(v, texts) + attended(v, images)
            expected = context.state[row] @ t + (t + v) @ user
            torch.testing.assert_close(found[row, place], expected, atol=1e-5, rtol=1e-5)


def test_dot_bilinear_and_additive() -> None:
    context, sides = world()
    dot = torch.stack([sides.items[row] @ context.state[row] for row in range(2)])
    torch.testing.assert_close(DotMatch(D)(context, sides), dot)
    torch.testing.assert_close(BilinearMatch(D)(context, sides), dot)
    head = AdditiveMatch(D).requires_grad_(False)
    found = head(context, sides)
    for row in range(2):
        states = [context.hidden[row, n] for n in range(3) if context.there[row, n]]
        logits = [float(head.query(torch.tanh(head.inner(each)))) for each in states]
        weights = torch.tensor(logits).softmax(0)
        user = sum((w * each for w, each in zip(weights, states, strict=True)), torch.zeros(D))
        torch.testing.assert_close(found[row], sides.items[row] @ user)


def test_the_same_candidates_of_all_are_scored_once_for_all() -> None:
    context, sides = world()
    one = Sides(*(each[:1] for each in sides))
    every = Sides(*(each[:1].expand(2, *each.shape[1:]) for each in sides))
    for head in (DotMatch(D), BilinearMatch(D), AdditiveMatch(D), CrossModalMatch(D)):
        torch.testing.assert_close(head(context, one), head(context, every))


def test_a_softmax_over_nothing_is_0() -> None:
    found = masked_softmax(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool))
    assert torch.equal(found, torch.zeros(1, 2))
