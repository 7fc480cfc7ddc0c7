"""What every objective promises: pure corruption, and a mean loss that reaches the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import name_of
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    StatefulObjective,
    TrainingExamples,
    objective,
)
from graphrec_pt.sampling.loader import Batch
from graphrec_pt.sampling.sampler import Sampler, Sets, sampler
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise
from graphrec_pt.tokens.linearizer import Linearizer, linearizer, require
from graphrec_pt.tokens.tokens import Tokens, same
from graphrec_pt.training.batches import Preparation

WIDTH = 8
TEXT = 128


@dataclass(frozen=True)
class Batches:
    """Batches of one sampler and linearizer, as the loader's workers make them.

    Args:
        preparation: Graph, sampler, linearizer and roots.
    """

    preparation: Preparation

    @classmethod
    def of(
        cls,
        graph: Graph,
        walk: str | Mapping[str, object] | Sampler,
        tokens: str | Mapping[str, object] | Linearizer,
        roots: Tensor | Sets,
        exclude: Tensor | None = None,
    ) -> "Batches":
        """Return the batches of some roots."""
        parts = sampler.build(walk), linearizer.build(tokens)
        return cls(Preparation(graph, *parts, {}, roots, exclude))

    @property
    def size(self) -> int:
        """How many roots there are."""
        return len(self.preparation.roots)

    def examples(
        self, rows: Sequence[int] | Tensor | None = None, *, seed: int = 7, epoch: int = 0
    ) -> Examples:
        """Return the examples of some of the roots, of all by default."""
        made = self.preparation
        rows = torch.arange(self.size) if rows is None else torch.as_tensor(rows, dtype=torch.int64)
        key = Key(seed, epoch)
        options = {} if made.exclude is None else {"exclude": made.exclude[rows]}
        sample = made.sampler.sample(made.graph, made.roots[rows], key, **options)
        return made.examples(Batch(0, 0, len(rows), rows, sample, key))


def check_objective(
    config: str | Mapping[str, object] | Objective,
    graph: Graph,
    walk: str | Mapping[str, object] | Sampler,
    tokens: str | Mapping[str, object] | Linearizer,
    roots: str | Tensor,
    *,
    drawn: bool = True,
    mean: bool = True,
    exclude: Tensor | None = None,
) -> None:
    """Check everything that an objective promises.

    Args:
        config: Its name, its config or the objective itself.
        graph: A graph that the sampler can walk.
        walk: The sampler: name, config or object.
        tokens: The linearizer: name, config or object.
        roots: A node type, whose nodes are the roots; or int64 ``[B]`` or ``[B, 2]``.
        drawn: Whether anything is drawn: another epoch looks different.
        mean: Whether the loss is the mean of terms that do not depend on the rest of the batch;
            False where the others of a batch are negatives.
        exclude: int64 ``[B]``, the edge hidden from each root; needed by objectives that predict
            it.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> graph = example_graph()
        >>> check_objective("next_item", graph, "history", "history", "user", drawn=False)
    """
    chosen = objective.build(config)
    given = torch.tensor(list(graph.nodes(roots))) if isinstance(roots, str) else roots
    batches = Batches.of(graph, walk, tokens, given, exclude)
    check_config(objective, chosen)
    gets_what_it_needs(chosen, batches)
    corrupts_purely(chosen, batches, drawn=drawn)
    learns_nothing_from_nothing(chosen, batches)
    moves_to_another_device(chosen, batches)
    has_a_loss_that_reaches_weights(chosen, batches)
    if mean:
        has_a_loss_that_is_a_mean(chosen, batches)


def small_model(graph: Graph) -> Model:
    """Return a transformer of one layer for the nodes of a graph."""
    structure = {"type": None, "hop": 8}
    sizes = {"width": WIDTH, "layers": 1, "heads": 2, "dropout": 0.0}
    config = {"name": "graph_transformer", **sizes, "structure": structure}
    return Model.of(graph, backbone=config, text=TEXT)


def small_head(chosen: Objective, model: Model) -> nn.Module:
    """Return the head of an objective, filled."""
    return seeded(partial(chosen.head, model.spec, WIDTH), 0)


def loss_of(chosen: Objective, corrupted: TrainingExamples, model: Model, head: Any) -> Tensor:
    """Return the loss of a batch, with the state of an objective that has one."""
    with model.cached_embeddings():
        encoded = [model.encode(view) for view in corrupted.views]
        if not isinstance(chosen, StatefulObjective):
            return chosen.loss(encoded, corrupted, model, head)
        state = chosen.state(model, head, 0)
        promise(state is not None, chosen, "options under test give it a state")
        assert state is not None
        state = state.to(next(model.parameters()).device).requires_grad_(False)
        return chosen.loss(encoded, corrupted, model, head, state=state)


def columns_of(tokens: Tokens) -> dict[str, Tensor | None]:
    """Return every column of tokens by its name."""
    return {each.name: getattr(tokens, each.name) for each in fields(tokens)}


def every_view(corrupted: TrainingExamples) -> tuple[View, ...]:
    """Return what is encoded by the model, and by the objective itself."""
    return corrupted.views + corrupted.unencoded


def same_view(a: View, b: View) -> bool:
    """Whether two views are equal, tensors included."""
    if not same(a.tokens, b.tokens) or (a.mode, a.two_stream) != (b.mode, b.two_stream):
        return False
    for one, two in ((a.order, b.order), (a.prefix, b.prefix)):
        if (one is None) != (two is None):
            return False
        if one is not None and two is not None and not torch.equal(one, two):
            return False
    return True


def equal_examples(a: TrainingExamples, b: TrainingExamples) -> bool:
    """Whether two corrupted batches are equal, tensors included."""
    return (
        a.count == b.count
        and len(every_view(a)) == len(every_view(b))
        and all(same_view(*views) for views in zip(every_view(a), every_view(b), strict=True))
        and a.targets.keys() == b.targets.keys()
        and all(torch.equal(a.targets[name], b.targets[name]) for name in a.targets)
    )


def gets_what_it_needs(chosen: Objective, batches: Batches) -> None:
    """The linearizer makes the tokens that it needs, and the graph has what its options name."""
    made = batches.preparation
    require(name_of(chosen), made.linearizer, chosen.needs.kinds, chosen.needs.fields)
    chosen.check(GraphSpec.of(made.graph))


def corrupts_purely(chosen: Objective, batches: Batches, *, drawn: bool = True) -> None:
    """Corruption is the same twice, leaves its input and torch's random state, and uses the key."""
    whole = batches.examples()
    before = {n: v if v is None else v.clone() for n, v in columns_of(whole.tokens).items()}
    state = torch.get_rng_state()
    first = chosen.corrupt(whole)
    promise(equal_examples(first, chosen.corrupt(whole)), chosen, "the same corruption twice")
    kept = torch.equal(torch.get_rng_state(), state)
    promise(kept, chosen, "torch's global random state is left alone")
    for name, value in columns_of(whole.tokens).items():
        old = before[name]
        kept = value is old or (value is not None and old is not None and torch.equal(value, old))
        promise(kept, chosen, f"the column {name} of its input is left alone")
    sentence = "another key looks different" if drawn else "nothing is drawn"
    for key in (Key(7, 1), Key(8, 0)):
        other = chosen.corrupt(replace(whole, draws=replace(whole.draws, key=key)))
        equal = equal_examples(first, other)
        promise(equal is not drawn, chosen, f"{sentence} (drawn={drawn})")


def learns_nothing_from_nothing(chosen: Objective, batches: Batches) -> None:
    """A batch without sequences has no terms."""
    corrupted = chosen.corrupt(batches.examples([]))
    promise(corrupted.count == 0, chosen, "an empty batch has no terms", corrupted.count)
    corrupted.to("cpu")


def moves_to_another_device(chosen: Objective, batches: Batches) -> None:
    """Every tensor of a corrupted batch moves with it."""
    moved = chosen.corrupt(batches.examples()).to("meta")
    found: list[Tensor] = list(moved.targets.values())
    for view in every_view(moved):
        values = [*columns_of(view.tokens).values(), view.order, view.prefix]
        found += [value for value in values if value is not None]
    there = bool(found) and all(value.device.type == "meta" for value in found)
    promise(there, chosen, "every tensor moves to another device")


def has_a_loss_that_reaches_weights(
    chosen: Objective, batches: Batches, *, idle: frozenset[str] = frozenset()
) -> None:
    """The loss is a finite scalar above 0, and its gradient reaches the head and the model.

    Args:
        chosen: The objective.
        batches: Of examples.
        idle: Parameters of the head that this batch need not reach.
    """
    model = small_model(batches.preparation.graph)
    head = small_head(chosen, model)
    corrupted = chosen.corrupt(batches.examples())
    promise(corrupted.count > 0, chosen, "the batch under test has terms")
    state = torch.get_rng_state()
    loss = loss_of(chosen, corrupted, model, head)
    kept = torch.equal(torch.get_rng_state(), state)
    promise(kept, chosen, "the loss leaves torch's global random state alone")
    promise(loss.shape == (), chosen, "the loss is a scalar", list(loss.shape))
    value = float(loss.detach())
    promise(bool(torch.isfinite(loss)) and value > 0, chosen, "the loss is finite, above 0", value)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in head.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        promise(reached or name in idle, chosen, f"the gradient reaches {name} of the head")
    learned = model.backbone if corrupted.views else model.features
    gradients = [p.grad for p in learned.parameters() if p.grad is not None]
    reached = any(bool(gradient.abs().sum() > 0) for gradient in gradients)
    promise(reached, chosen, "the gradient reaches the model")
    every = [p.grad for p in [*model.parameters(), *head.parameters()] if p.grad is not None]
    finite = all(bool(torch.isfinite(gradient).all()) for gradient in every)
    promise(finite, chosen, "every gradient is finite")


def has_a_loss_that_is_a_mean(chosen: Objective, batches: Batches) -> None:
    """Two micro-batches weighed by count equal one batch, as accumulation and DDP need."""
    model = small_model(batches.preparation.graph)
    head, every = small_head(chosen, model), torch.arange(batches.size)
    parts = [every, every[: len(every) // 3], every[len(every) // 3 :]]
    corrupted = [chosen.corrupt(batches.examples(part)) for part in parts]
    whole, first, second = (each.count for each in corrupted)
    promise(min(first, second) > 0, chosen, "both parts of the batch under test have terms")
    promise(
        whole == first + second, chosen, "the terms of two parts add up", (whole, first, second)
    )
    with torch.no_grad():
        losses = [float(loss_of(chosen, each, model, head)) for each in corrupted]
    mean = (first * losses[1] + second * losses[2]) / whole
    near = abs(losses[0] - mean) <= 1e-5 * abs(mean) + 1e-12
    promise(near, chosen, f"the loss is the mean of its terms, {mean}", losses[0])
