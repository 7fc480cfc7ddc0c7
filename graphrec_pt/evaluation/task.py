"""The task family: a task defines what is predicted for held-out targets and how it is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.training.stage import Stage


@dataclass(frozen=True)
class RankingConfig:
    """How a catalogue is ranked; other tasks ignore it.

    Args:
        seen: Whether items that a source has interacted with are masked or stay candidates.
    """

    seen: SeenPolicy = "mask"


class Task(Protocol):
    """Defines what a system predicts for the targets of a split; a frozen config.

    A *system* is a trained model or a baseline, made for the history graph of a split. The same
    method evaluates models and baselines, on the same targets.
    """

    file: ClassVar[str]
    """File of a run's folder with the outcomes."""
    metrics: ClassVar[tuple[str, ...]]
    """Default metrics."""
    watch: ClassVar[str]
    """Default metric for the choice of the best model."""
    outcome: ClassVar[str]
    """Class of the outcomes."""
    family: ClassVar[Registry[Any]]
    """Registry of the baselines."""

    def check(self, stage: Stage) -> None:
        """Raise unless the objectives of the last stage can predict what the task needs."""
        ...

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise unless a split has the data that the task and its metrics need."""
        ...

    def baselines(self, split: Split) -> tuple[str | Mapping[str, Any], ...]:
        """Return names or configs of the baselines that fit a split."""
        ...

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the policies about seen items to evaluate the test targets with."""
        ...

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> Any:
        """Return a trained model as a system."""
        ...

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> Any:
        """Return a baseline as a system; it learns from training edges alone."""
        ...

    def judge(self, system: Any, split: Split, when: When, policy: RankingConfig) -> Outcome:
        """Return the outcome of a system for the targets."""
        ...

    def beyond(self, system: Any, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return beyond-accuracy measures of the lists: coverage, novelty, inequality."""
        ...

    def read(self, path: Path) -> Mapping[str, Outcome]:
        """Return the saved outcomes of each split of a run."""
        ...


task: Registry[Task] = Registry("task")
"""``@task("name")`` makes a class usable as a task."""

TaskField = Annotated[Task, task]
"""Type of a config field that holds a task."""
