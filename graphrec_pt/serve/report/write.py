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
from markupsafe import Markup, escape

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted, printable
from graphrec_pt.core.registry import trusting
from graphrec_pt.core.scratch import write_text
from graphrec_pt.data.describe import describe, human_time
from graphrec_pt.evaluation.intervals import RESAMPLES
from graphrec_pt.evaluation.tasks.conversation import Conversation
from graphrec_pt.evaluation.tasks.text import TextTask
from graphrec_pt.recipe.files import recipe_text
from graphrec_pt.recipe.folder import HISTORY, MODEL, RANKS, Run, measured_again, open_run
from graphrec_pt.serve.report.comparison import (
    FEWEST,
    Gap,
    best_values,
    distinct,
    gaps,
    parts,
    systems,
    watched_metric,
)
from graphrec_pt.serve.report.dialogue_examples import dialogue_page
from graphrec_pt.serve.report.learning_curves import CONTROL, stage_curves
from graphrec_pt.serve.report.learning_curves import MODEL as OURS
from graphrec_pt.serve.report.text_examples import text_page
from graphrec_pt.serve.report.user_examples import user_examples
from graphrec_pt.training.weights import lower_is_better

REPORT = "report.html"
PAGE = "page.html.jinja"
LIBRARIES = ("graphrec-pt", "torch", "numba", "numpy", "scipy", "polars", "transformers", "dgl")

Section = TypeVar("Section")


def write_report(run: str | Path | Run, *, trust_code: bool = False) -> Path:
    """Write ``report.html`` into the folder of a finished run.

    The page is computed from the folder alone. It leaves out what the folder lacks (ranks, learning
    curves, history, model); where a section cannot be made, it says why.

    Args:
        run: The run, or its folder.
        trust_code: Run code outside the library that the config of the model names.

    Returns:
        The path of the page.

    Raises:
        GraphRecError: When there is no finished run, or its ranks differ from its metrics.
    """
    opened = run if isinstance(run, Run) else open_run(run, trust_code=trust_code)
    with trusting(trust_code):
        page = render(opened)
    write_text(opened.folder / REPORT, page)
    return opened.folder / REPORT


def render(run: Run) -> str:
    """Return the page of a run as HTML; texts of the data are escaped, control characters too."""
    ranked, shown = (run.folder / RANKS).is_file(), (run.folder / HISTORY).is_dir()
    if ranked:
        run = measured_again(run)
    watched, failed = watched_metric(run), dict[str, str]()

    def section(name: str, make: Callable[[], Section], possible: bool) -> Section | None:
        """Return the content of a section; None where it cannot be made."""
        try:
            return make() if possible else None
        except GraphRecError as error:
            failed[name] = str(error)
            return None

    wrote = shown and isinstance(run.recipe.evaluate.asked, TextTask)
    talked = isinstance(run.recipe.evaluate.asked, Conversation) and (run.folder / MODEL).is_dir()
    served = ranked and shown and (run.folder / MODEL).is_dir()
    rows, tested = systems(run, watched), gaps(run)
    metrics, equal = distinct(list(dict.fromkeys([watched, *run.recipe.evaluate.metrics])), rows)
    name = str(run.metrics["data"]["name"])
    given: dict[str, Any] = {
        "run": run,
        "measured": run.metrics,
        "watched": watched,
        "metrics": metrics,
        "equal": equal,
        "ranked": ranked,
        "fewest": FEWEST,
        "systems": rows,
        "best": best_values(rows),
        "lower": lower_is_better(watched),
        "beyond": _beyond(run),
        "gaps": tested,
        "headline": _headline(tested),
        "resamples": RESAMPLES,
        "dataset": Path(name).stem if name.endswith((".yaml", ".yml")) else Path(name).name,
        "compared": next((each["metric"] for each in run.metrics["compared"].values()), None),
        "ours": OURS,
        "control": CONTROL,
        "curves": section("learning curves", lambda: stage_curves(run, watched), True),
        "slices": section("slices of the test set", lambda: parts(run, watched), ranked and shown),
        "graph": section("graph", lambda: describe(run.history), shown),
        "users": section("three users", lambda: user_examples(run), served),
        "texts": section("texts", lambda: text_page(run), wrote),
        "dialogues": section("dialogues", lambda: dialogue_page(run), talked and shown),
        "decodes": run.metrics.get("explanations") is not None,
        "failed": failed,
        "recipe": recipe_text(run.recipe),
        "environment": environment(),
    }
    return printable(_environment().get_template(PAGE).render(given))


def environment() -> dict[str, str]:
    """Return the versions of libraries and the kind of machine of this process."""
    environment = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            environment[name] = version(name)
        except PackageNotFoundError:
            continue
    environment["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return environment


def _headline(tested: list[Gap]) -> list[Gap]:
    """Return the strongest baseline and the control, where they exist."""
    baselines = [gap for gap in tested if gap.name != CONTROL]
    return baselines[:1] + [gap for gap in tested if gap.name == CONTROL]


def _beyond(run: Run) -> dict[str, Any] | None:
    """Return the properties of lists; None where the task or the run has none."""
    measured = run.metrics.get("beyond_accuracy")
    return dict(measured) if measured and measured["model"] else None


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
        "counted": counted,
        "epochs": lambda value: f"{value:g} epoch{'' if value == 1 else 's'}",
        "code": _code,
        "quoted": shlex.quote,
        "date": human_time,
        "duration": _duration,
        "rank": _rank,
    }
    return made


def _code(text: str) -> Markup:
    """Return a note of a recipe whose words between back-ticks are marked as code."""
    pieces = str(escape(text)).split("`")
    marked = (f"<code>{each}</code>" if n % 2 else each for n, each in enumerate(pieces))
    return Markup("".join(marked) if len(pieces) % 2 else escape(text))


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
