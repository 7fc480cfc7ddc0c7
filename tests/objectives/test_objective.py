"""Objectives from outside the library: what a subclass need not say, and what is refused."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphrec_pt import Graph, GraphRecError, Model, Stage, Trainer
from graphrec_pt.core.registry import trusting
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    StatefulObjective,
    TrainingExamples,
    objective,
)
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.training.checkpoint import load_checkpoint
from graphrec_pt.training.optimizer_loop import MultiTaskModule

BACKBONE = {"name": "graph_transformer", "width": 8, "layers": 1, "heads": 2}


class Spread(Objective):
    """Pulls the states of a sequence towards a length."""

    length: float = 1.0

    def corrupt(self, examples: Examples) -> TrainingExamples:
        return TrainingExamples((View(examples.tokens),), {}, len(examples.tokens))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Any
    ) -> Tensor:
        return (encoded[0].pooled().norm(dim=1) - self.length).square().mean()


class Steady(StatefulObjective):
    """Pulls the states towards a running mean of those of earlier steps."""

    def corrupt(self, examples: Examples) -> TrainingExamples:
        return TrainingExamples((View(examples.tokens),), {}, len(examples.tokens))

    def state(self, model: Model, head: nn.Module, seed: int) -> nn.Module:
        made = nn.Module()
        made.register_buffer("mean", torch.zeros(model.width))
        made.register_buffer("steps", torch.tensor(0))
        return made

    def after_step(self, state: Any, model: Model, head: nn.Module, step: int) -> None:
        state.mean.lerp_(model.embedding.special.weight[0], 0.5)
        state.steps.fill_(step)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: Any,
        state: Any = None,
    ) -> Tensor:
        return (encoded[0].pooled() - state.mean - 1).square().mean()


OWN = {"spread": objective("spread")(Spread), "steady": objective("steady")(Steady)}
for _name in OWN:
    del objective._members[_name]  # other tests know the library's objectives alone


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the two be registered in these tests."""
    for name, chosen in OWN.items():
        monkeypatch.setitem(objective._members, name, chosen)


def stage(*objectives: Any, steps: int = 6) -> Stage:
    return Stage(
        sampler="history",
        linearizer="history",
        objectives=objectives,
        roots="user",
        batch=8,
        steps=steps,
        optimization={"lr": 1e-2},
    )


def test_a_subclass_says_only_what_is_its_own(ring: Graph) -> None:
    chosen = objective.build({"name": "spread", "length": 2})
    assert chosen.needs == RequiredFields(frozenset({Kind.NODE}), frozenset({"type", "hop"}))
    model = Model.of(ring, backbone=BACKBONE)
    assert chosen.check(model.spec) is None  # type: ignore[func-returns-value]
    assert not list(chosen.head(model.spec, 8).parameters())
    assert chosen.readout() is None
    assert objective.config(chosen) == {"name": "spread", "length": 2.0}
    rows = Trainer(cpu=True, log_every=1).fit(model, ring, stage(chosen, steps=40))
    losses = [row["loss/spread"] for row in rows]
    assert losses[-1] < 0.5 * losses[0]


def test_a_state_changes_after_each_step_and_comes_back(ring: Graph, tmp_path: Path) -> None:
    def fit(folder: str, steps: int, **options: Any) -> dict[str, Tensor]:
        trainer = Trainer(tmp_path / folder, cpu=True, checkpoint_every=1, keep=9)
        trainer.fit(
            Model.of(ring, backbone=BACKBONE), ring, stage("steady", steps=steps), **options
        )
        return load_checkpoint(tmp_path / folder / "checkpoint").tensors

    whole = fit("run", 6)
    assert int(whole["state/steady/steps"]) == 6
    assert bool((whole["state/steady/mean"] != 0).all())
    for step in (4, 5, 6):  # as if it had been killed after the third step
        folder = tmp_path / "run" / "checkpoint" / f"step-{step:08d}"
        folder.rename(tmp_path / f"gone-{step}")
    again = fit("run", 6, resume=True)
    assert whole.keys() == again.keys()
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_a_state_is_no_part_of_what_trains(ring: Graph) -> None:
    learner = MultiTaskModule(Model.of(ring, backbone=BACKBONE), stage("steady").objectives)
    names = set(learner.state_dict()) | {name for name, _ in learner.named_parameters()}
    learner.begin_states(0, torch.device("cpu"))
    assert learner.states.keys() == {"steady"}
    assert set(learner.state_dict()) <= names


def test_a_class_of_another_kind_is_refused() -> None:
    class Loose:
        def corrupt(self, examples: Examples) -> TrainingExamples: ...

    with pytest.raises(GraphRecError, match=r"derives from Objective, got Loose; try class Loose"):
        objective("loose")(Loose)

    class Half(Objective):
        def corrupt(self, examples: Examples) -> TrainingExamples: ...

    with pytest.raises(GraphRecError, match="expected corrupt and loss, got no loss"):
        objective("half")(Half)
    assert {"loose", "half"}.isdisjoint(objective.names())


OUTSIDE = '''
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.objective import TrainingExamples


class Own(NodePrediction):
    """Derives from a base of the library and adds a field, without the decorator."""

    factor: float = 2.0

    def corrupt(self, examples):
        return TrainingExamples(())
'''


def test_a_dotted_path_to_a_subclass_of_a_family_keeps_its_own_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_objectives.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    path = "own_objectives.Own"
    with trusting():
        chosen: Any = objective.build({"name": path, "factor": 3, "types": ["item"]})
        assert isinstance(chosen, NodePrediction)
        assert (chosen.factor, chosen.types) == (3.0, ("item",))
        assert objective.config(chosen)["name"] == path
        with pytest.raises(GraphRecError, match="factor"):
            objective.build({"name": path, "factro": 3})
    del objective._members[path]
    sys.modules.pop("own_objectives")
