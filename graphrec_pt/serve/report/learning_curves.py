"""Learning curves: every objective and the watched metric of every stage, for every model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from statistics import fmean, median
from typing import Any

from graphrec_pt.recipe.folder import SCRATCH, Run
from graphrec_pt.training.tracking import METRICS, read_metrics

MODEL, CONTROL = "the model", "from-scratch control"
"""Names of the trained model, and of the same model without the stages of pre-training."""
LEFT, RIGHT, TOP, BOTTOM = 46.0, 330.0, 10.0, 160.0
STEPS = (1.0, 2.0, 5.0, 10.0)
"""Round steps between ticks, times a power of ten."""
MOST = 150
"""Points of a line; more are averaged block by block."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A linear axis.

    Args:
        low: Value at `start`.
        high: Value at `stop`.
        start: A coordinate.
        stop: Another one.
    """

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def around(
        cls, values: Iterable[float], start: float, stop: float, margin: float = 0.0
    ) -> "Axis":
        """Return the axis that holds all values, with a share of their range on either side."""
        known = list(values)
        low, high = min(known), max(known)
        room = margin * (high - low) or abs(high) / 10 or 1.0
        return cls(low - room, high + room, start, stop)

    def at(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Return (coordinate, label) at round values, `most` of them at most."""
        exact = (self.high - self.low) / most
        power = 10.0 ** floor(log10(exact))
        # 0.9999: a step that is round but for rounding is taken.
        step = next(power * each for each in STEPS if power * each >= exact * 0.9999)
        digits = max(-floor(log10(step) + 1e-9), 0)
        first = -floor(-self.low / step)
        last = floor(self.high / step)
        return [(self.at(n * step), f"{n * step:,.{digits}f}") for n in range(first, last + 1)]


@dataclass(frozen=True)
class Line:
    """One model's values.

    Args:
        name: Of the model.
        colour: Number of its colour.
        dashed: Whether it is the from-scratch control.
        points: As SVG has them.
        ends: Coordinates of the last point.
        value: At the last point.
    """

    name: str
    colour: int
    dashed: bool
    points: str
    ends: Point
    value: float


@dataclass(frozen=True)
class Panel:
    """One objective or metric of a stage.

    Args:
        title: What is measured.
        lines: One per model.
        x: Ticks of steps: (coordinate, label).
        y: Ticks of values.
    """

    title: str
    lines: tuple[Line, ...]
    x: tuple[tuple[float, str], ...]
    y: tuple[tuple[float, str], ...]

    @property
    def about(self) -> str:
        """What the picture shows, in words."""
        ends = (f"{line.name} ends at {line.value:.4g}" for line in self.lines)
        return f"{self.title} by step of the stage: " + ", ".join(ends)


@dataclass(frozen=True)
class StageCurves:
    """The curves of a stage.

    Args:
        name: Of the stage.
        panels: One per objective, then the watched metric on validation.
        steps: Of the longest training.
        tokens_per_second: Median over the log; None where the log has none.
        waste: Mean share of padding.
    """

    name: str
    panels: tuple[Panel, ...]
    steps: int
    tokens_per_second: float | None
    waste: float | None


def stage_curves(run: Run, watched: str) -> list[StageCurves]:
    """Return the curves of every stage that took a step, in the order of the stages.

    Args:
        run: A finished run; trainings without ``metrics.jsonl`` are left out.
        watched: The metric to show of validation.
    """
    trainings = list(_trainings(run))
    curves = (_stage(stage.name, trainings, watched) for stage in run.recipe.stages)
    return [each for each in curves if each is not None]


Training = tuple[str, int, bool, list[dict[str, Any]]]


def _trainings(run: Run) -> Iterator[Training]:
    """Yield (name, colour, whether it is the from-scratch control, lines) of every training."""
    several = len(run.recipe.seeds) > 1
    for number, seed in enumerate(run.recipe.seeds):
        folder = run.folder / f"seed-{seed}" if number else run.folder
        which = f"seed {seed}" if several else "pre-trained"
        alone = f"{CONTROL}, seed {seed}" if several else CONTROL
        if not several and run.metrics.get("scratch") is None:
            which = MODEL
        for name, control, place in ((which, False, folder), (alone, True, folder / SCRATCH)):
            if (place / METRICS).is_file():
                yield name, number + 4 * control, control, _lines(place)


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(folder) if isinstance(line.get("stage_step"), int)]


def _stage(name: str, trainings: Sequence[Training], watched: str) -> StageCurves | None:
    mine = [
        (who, colour, control, [line for line in lines if line.get("stage") == name])
        for who, colour, control, lines in trainings
    ]
    everything = [line for *_, lines in mine for line in lines]
    if not any(line["stage_step"] for line in everything):  # tuning-free stages take no step
        return None
    keys = dict.fromkeys(key for line in everything for key in line if key.startswith("loss/"))
    panels = [_panel(key, key.removeprefix("loss/") + ", loss", mine) for key in keys]
    panels.append(_panel(f"valid/{watched}", f"{watched}, validation", mine))
    speed, waste = (_numbers(everything, key) for key in ("tokens_per_second", "waste"))
    return StageCurves(
        name,
        tuple(panel for panel in panels if panel is not None),
        max(line["stage_step"] for line in everything),
        median(speed) if speed else None,
        fmean(waste) if waste else None,
    )


def _numbers(lines: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [line[key] for line in lines if isinstance(line.get(key), int | float)]


def _panel(key: str, title: str, trainings: Sequence[Training]) -> Panel | None:
    drawn = [(*training[:3], _points(training[3], key)) for training in trainings]
    drawn = [each for each in drawn if each[3]]
    if not drawn:
        return None
    everything = [point for each in drawn for point in each[3]]
    x = Axis(0.0, max(at for at, _ in everything), LEFT, RIGHT)
    y = Axis.around((value for _, value in everything), BOTTOM, TOP, margin=0.06)
    lines = []
    for who, colour, control, points in drawn:
        places = [(x.at(at), y.at(value)) for at, value in points]
        text = " ".join(f"{a:g},{b:g}" for a, b in places)
        lines.append(Line(who, colour, control, text, places[-1], points[-1][1]))
    return Panel(title, tuple(lines), tuple(x.ticks(4)), tuple(y.ticks(4)))


def _points(lines: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    """Return (step, value), thinned by means of equal blocks."""
    known = [
        (float(line["stage_step"]), float(line[key]))
        for line in lines
        if isinstance(line.get(key), int | float)
    ]
    size = -(-len(known) // MOST)
    blocks = (known[low : low + size] for low in range(0, len(known), max(size, 1)))
    return [(fmean(at for at, _ in each), fmean(value for _, value in each)) for each in blocks]
