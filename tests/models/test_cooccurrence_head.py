"""The co-occurrence prior: its loss against dense scores, and what it does without links."""

import torch
from torch.nn.functional import cross_entropy

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.cooccurrence_head import CooccurrenceHead

PLACES, ITEMS, WIDTH, CHANNELS = 5, 12, 4, 3


def world(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Return scores, sparse sums and hidden items; no place hides its target."""
    draw = torch.Generator().manual_seed(0)
    target = torch.tensor([3, 0, 11, 7, 7])
    pairs = torch.rand(PLACES, ITEMS, generator=draw) < 0.5
    hidden = (torch.rand(PLACES, ITEMS, generator=draw) < 0.3) & pairs
    hidden[torch.arange(PLACES), target] = False
    pairs[0, 3], pairs[1, 0] = True, False  # a target with cooccurrence, and one without
    row, item = pairs.nonzero(as_tuple=True)
    return {
        "left": torch.randn(PLACES, WIDTH, generator=draw, dtype=dtype),
        "right": torch.randn(ITEMS, WIDTH, generator=draw, dtype=dtype),
        "target": target,
        "ptr": torch.cat([torch.zeros(1, dtype=torch.int64), pairs.sum(1).cumsum(0)]),
        "item": item,
        "value": torch.rand(len(item), CHANNELS, generator=draw, dtype=dtype),
        "hidden": hidden[row, item],
        "row": row,
    }


def head(dtype: torch.dtype = torch.float64) -> CooccurrenceHead:
    made = seeded(lambda: CooccurrenceHead(CHANNELS, 8), seed=1).to(dtype)
    with torch.no_grad():
        made.outward.weight.normal_(generator=torch.Generator().manual_seed(2))
    return made


def dense_loss(made: CooccurrenceHead, w: dict[str, torch.Tensor], tau: float) -> torch.Tensor:
    """Return the same with every score written out."""
    scores = w["left"] @ w["right"].T / tau
    term = torch.zeros_like(scores).index_put((w["row"], w["item"]), made(w["value"]))
    barred = torch.zeros_like(scores, dtype=torch.bool)
    barred[w["row"], w["item"]] = w["hidden"]
    return cross_entropy((scores + term).masked_fill(barred, -torch.inf), w["target"])


def test_loss_and_gradients_are_those_of_dense_scores() -> None:
    made, w = head(), world()
    for tau in (1.0, 0.3):
        inputs = [w["left"].requires_grad_(), w["right"].requires_grad_(), *made.parameters()]
        sparse = {name: column for name, column in w.items() if name != "row"}
        ours = made.loss(**sparse, temperature=tau)
        theirs = dense_loss(made, w, tau)
        torch.testing.assert_close(ours, theirs)
        mine, other = (torch.autograd.grad(loss, inputs) for loss in (ours, theirs))
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b)


def test_no_links_give_no_term() -> None:
    made = head()
    torch.testing.assert_close(
        made(torch.zeros(4, CHANNELS, dtype=torch.float64)), torch.zeros(4).double()
    )


def test_begins_as_the_mean_over_channels() -> None:
    made = seeded(lambda: CooccurrenceHead(2, 4), seed=0)
    value = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    expected = torch.log1p(27 * value).mean(1)
    torch.testing.assert_close(made(value), expected)


def test_pairs_that_cover_the_catalogue_stay_finite() -> None:
    made, w = head(torch.float32), world(torch.float32)
    with torch.no_grad():
        made.direct.fill_(-40.0)  # strongly against everything
    every = torch.arange(ITEMS).repeat(PLACES)
    loss = made.loss(
        w["left"],
        w["right"],
        w["target"],
        1.0,
        torch.arange(PLACES + 1) * ITEMS,
        every,
        torch.ones(len(every), CHANNELS),
        torch.zeros(len(every), dtype=torch.bool),
    )
    assert torch.isfinite(loss)
