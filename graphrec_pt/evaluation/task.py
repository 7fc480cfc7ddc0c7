"""The task family: what is predicted of the held-out targets, and how it is judged."""

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
    """How a catalogue is ranked; tasks that rank nothing need none of it.

    Args:
        seen: What is done about what a source has interacted with before.
    """

    seen: SeenPolicy = "mask"


class Task(Protocol):
    """Says what a system is asked about the targets of a split; a frozen config.

    A *system* is a trained model or a baseline, made for what the history of a split shows. Models
    and baselines are judged by the same method, on the same targets.
    """

    file: ClassVar[str]
    """Of a run's folder, where outcomes are kept."""
    metrics: ClassVar[tuple[str, ...]]
    """What is measured unless a recipe says otherwise."""
    watch: ClassVar[str]
    """What the best model is chosen by, unless a recipe says otherwise."""
    outcome: ClassVar[str]
    """Class of the outcomes."""
    family: ClassVar[Registry[Any]]
    """Of the baselines."""

    def check(self, stage: Stage) -> None:
        """Raise unless a last stage teaches what the task asks."""
        ...

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise unless a split has what the task asks for, and enough of it for the metrics."""
        ...

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return the names of the baselines that fit a split."""
        ...

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the policies about what was seen that test targets are judged under."""
        ...

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> Any:
        """Return a trained model as a system."""
        ...

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> Any:
        """Return a baseline as a system; it learns from training edges alone."""
        ...

    def judge(self, system: Any, split: Split, when: When, policy: RankingConfig) -> Outcome:
        """Return what a system makes of the targets."""
        ...

    def beyond(self, system: Any, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return what test targets do not tell: how broad, new and even its lists are."""
        ...

    def read(self, path: Path) -> Mapping[str, Outcome]:
        """Return the outcomes of each split that a run kept."""
        ...


task: Registry[Task] = Registry("task")
"""``@task("name")`` makes a class usable as a task."""

TaskField = Annotated[Task, task]
"""Type of a config field that holds a task."""
