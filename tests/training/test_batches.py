"""What a stage reads: a share of its roots, and how many steps there are."""

import torch

from graphrec_pt import Stage
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.training.batches import loader_of, steps_of
from graphrec_pt.training.options import Options

GRAPH = synthetic_graph(100, 30, 900)


def stage(**options: object) -> Stage:
    return Stage(sampler="history", linearizer="history", objectives=["next_item"], **options)


def roots(share: float, seed: int = 0) -> torch.Tensor:
    loader = loader_of(stage(share=share, batch=7), GRAPH, Options(seed=seed))
    met = [
        view.root for batch in loader.epoch(0) for c in batch.corrupted.values() for view in c.views
    ]
    return torch.cat([root for root in met if root is not None]).unique()


def test_a_share_is_a_share_whatever_the_seed() -> None:
    tenth, half, whole = roots(0.1), roots(0.5), roots(1.0)
    assert (len(tenth), len(half), len(whole)) == (10, 50, 100)
    assert bool(torch.isin(tenth, half).all())
    assert bool(torch.isin(half, whole).all())
    assert roots(0.1, seed=5).equal(tenth)
    assert len(roots(0.001)) == 1


def test_steps_are_counted_from_epochs() -> None:
    for epochs, batch, expected in ((2, 50, 4), (1.5, 30, 6), (0.1, 100, 1)):
        chosen = stage(epochs=epochs, batch=batch)
        assert steps_of(chosen, loader_of(chosen, GRAPH, Options())) == expected


def test_passes_over_the_roots_may_be_limited() -> None:
    for limit, expected in ((None, 11), (4, 8), (1.5, 3), (9, 11)):
        chosen = stage(steps=11, batch=50, most_epochs=limit)
        assert steps_of(chosen, loader_of(chosen, GRAPH, Options())) == expected
    chosen = stage(epochs=3, batch=50, most_epochs=2)
    assert steps_of(chosen, loader_of(chosen, GRAPH, Options())) == 4
