"""The page of a run: one file, no scripts, nothing loaded from elsewhere."""

import os
import platform
import shlex
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FunctionLoader, StrictUndefined

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.core.scratch import write_text
from graphrec_pt.data.describe import describe, human_time
from graphrec_pt.evaluation.intervals import RESAMPLES
from graphrec_pt.recipe.files import recipe_text
from graphrec_pt.recipe.folder import HISTORY, MODEL, RANKS, Run, measured_again, open_run
from graphrec_pt.serve.report.beside import (
    FEWEST,
    TWIN,
    Gap,
    best_values,
    gaps,
    parts,
    systems,
    watched_metric,
)
from graphrec_pt.serve.report.beside import MODEL as OURS
from graphrec_pt.serve.report.curves import stage_curves
from graphrec_pt.serve.report.people import people
from graphrec_pt.training.weights import lower_is_better

REPORT = "report.html"
PAGE = "page.html.jinja"
LIBRARIES = ("graphrec-pt", "torch", "numba", "numpy", "scipy", "polars", "transformers", "dgl")

Found = TypeVar("Found")


def write_report(run: str | Path | Run, *, trust_code: bool = False) -> Path:
    """Write ``report.html`` into the folder of a finished run.

    All that the page says is computed from the folder. What the folder lacks (ranks, learning
    curves, history, model) is left out; a part that cannot be made says why.

    Args:
        run: The run, or its folder.
        trust_code: Let the model's config name code outside the library, which is then run.

    Returns:
        The path of the page.

    Raises:
        GraphRecError: When there is no finished run, and for ranks other than those that its
            metrics tell of.
    """
    opened = run if isinstance(run, Run) else open_run(run, trust_code=trust_code)
    with trusting(trust_code):
        page = render(opened)
    write_text(opened.folder / REPORT, page)
    return opened.folder / REPORT


def render(run: Run) -> str:
    """Return the page of a run as HTML; all texts of the data are escaped."""
    ranked, shown = (run.folder / RANKS).is_file(), (run.folder / HISTORY).is_dir()
    if ranked:
        run = measured_again(run)
    watched, failed = watched_metric(run), dict[str, str]()

    def part(name: str, make: Callable[[], Found], there: bool) -> Found | None:
        """Return a part of the page; without it the others still stand."""
        try:
            return make() if there else None
        except GraphRecError as error:
            failed[name] = str(error)
            return None

    served = ranked and shown and (run.folder / MODEL).is_dir()
    rows, tested = systems(run, watched), gaps(run)
    name = str(run.metrics["data"]["name"])
    given: dict[str, Any] = {
        "run": run,
        "told": run.metrics,
        "watched": watched,
        "metrics": list(dict.fromkeys([watched, *run.recipe.evaluate.metrics])),
        "fewest": FEWEST,
        "systems": rows,
        "best": best_values(rows),
        "lower": lower_is_better(watched),
        "beyond": _beyond(run),
        "gaps": tested,
        "beside": _headline(tested),
        "resamples": RESAMPLES,
        "dataset": Path(name).stem if name.endswith((".yaml", ".yml")) else Path(name).name,
        "compared": next((each["metric"] for each in run.metrics["compared"].values()), None),
        "ours": OURS,
        "twin": TWIN,
        "curves": part("curves", lambda: stage_curves(run, watched), True),
        "parts": part("parts", lambda: parts(run, watched), ranked and shown),
        "graph": part("graph", lambda: describe(run.history), shown),
        "people": part("people", lambda: people(run), served),
        "failed": failed,
        "recipe": recipe_text(run.recipe),
        "environment": environment(),
    }
    return _environment().get_template(PAGE).render(given)


def environment() -> dict[str, str]:
    """Return what this process runs on: versions and the kind of machine."""
    found = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return found


def _headline(tested: list[Gap]) -> list[Gap]:
    """Return the strongest baseline and the twin, as far as there are any."""
    baselines = [gap for gap in tested if gap.name != TWIN]
    return baselines[:1] + [gap for gap in tested if gap.name == TWIN]


def _beyond(run: Run) -> dict[str, Any] | None:
    """Return what is told of lists, None where a task makes none or the run told nothing."""
    found = run.metrics.get("beyond_accuracy")
    return dict(found) if found and found["model"] else None


def _environment() -> Environment:
    folder = files(__package__)
    loader = FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": "{:.4f}".format,
        "signed": lambda value: f"{value:+.4f}".replace("-", "−"),
        "count": "{:,}".format,
        "quoted": shlex.quote,
        "date": human_time,
        "duration": _duration,
        "rank": _rank,
    }
    return made


def _rank(rank: float) -> str:
    return f"{rank:,.1f}".removesuffix(".0") if isfinite(rank) else "∞"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        text = f"{hours} h {minutes:02d} min"
    else:
        text = f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
    return text.replace(" ", "\N{NO-BREAK SPACE}")
