"""Learning curves: every objective and the watched metric of every stage, for every model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from graphrec_pt.recipe.folder import SCRATCH, Run
from graphrec_pt.serve.report.axes import Axis
from graphrec_pt.training.tracking import METRICS, read_metrics

WIDTH, HEIGHT = 340.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 330.0, 10.0, 160.0
MOST = 150
"""Points of a line; more are averaged block by block."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One model's values.

    Args:
        name: Of the model.
        colour: Number of its colour.
        dashed: Whether it is a twin without pre-training.
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
        tokens_per_second: Median of what was told; None where nothing was.
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
    told = [(name, colour, twin, rows) for name, colour, twin, rows in _trainings(run)]
    return [
        found
        for stage in run.recipe.stages
        if (found := _stage(stage.name, told, watched)) is not None
    ]


Told = tuple[str, int, bool, list[dict[str, Any]]]


def _trainings(run: Run) -> Iterator[Told]:
    """Yield (name, colour, whether it is a twin, lines) of every training."""
    several = len(run.recipe.seeds) > 1
    for number, seed in enumerate(run.recipe.seeds):
        folder = run.folder / f"seed-{seed}" if number else run.folder
        which = f"seed {seed}" if several else "pre-trained"
        alone = f"from scratch, seed {seed}" if several else "from scratch"
        if not several and run.metrics.get("scratch") is None:
            which = "the model"
        for name, twin, place in ((which, False, folder), (alone, True, folder / SCRATCH)):
            if (place / METRICS).is_file():
                yield name, number, twin, _lines(place)


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(folder) if isinstance(line.get("stage_step"), int)]


def _stage(name: str, told: Sequence[Told], watched: str) -> StageCurves | None:
    mine = [
        (who, colour, twin, [line for line in lines if line.get("stage") == name])
        for who, colour, twin, lines in told
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


def _panel(key: str, title: str, told: Sequence[Told]) -> Panel | None:
    found = [(who, colour, twin, _points(lines, key)) for who, colour, twin, lines in told]
    found = [each for each in found if each[3]]
    if not found:
        return None
    everything = [point for each in found for point in each[3]]
    x = Axis(0.0, max(at for at, _ in everything), LEFT, RIGHT)
    y = Axis.around((value for _, value in everything), BOTTOM, TOP, margin=0.06)
    lines = []
    for who, colour, twin, points in found:
        drawn = [(x.at(at), y.at(value)) for at, value in points]
        text = " ".join(f"{a:g},{b:g}" for a, b in drawn)
        lines.append(Line(who, colour, twin, text, drawn[-1], points[-1][1]))
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
