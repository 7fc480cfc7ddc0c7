"""The folder of a run: what stands where, and how it is opened.

::

    recipe.yaml      the recipe with nothing left open
    data.json        the graph and the raw files that it was made from
    metrics.json     what was measured, written last
    report.html      the same as a page, by :func:`~graphrec_pt.serve.report.write.write_report`
    metrics.jsonl    a line for each step told
    ranks.parquet    the rank of every target of valid and test; for tasks that rank nothing
                     predictions.parquet, with what was predicted for each
    model/           the trained model
    history/         the graph that recommendations are made from: training and validation edges
    pretrained/      the model before its adaptation, where stages pre-train, to be adapted again
    checkpoint/      where a killed run goes on
    scratch/         the same for the control that is trained from scratch
    seed-N/          the same for every further seed
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isclose, nan
from pathlib import Path
from typing import Any

from graphrec_pt import __version__
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.core.scratch import write_text
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.evaluation.ranks import Ranks, read_ranks
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import open_graph
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.recipe.files import OF_RUN, parse_yaml
from graphrec_pt.recipe.recipe import Recipe

FORMAT = 1
RECIPE, METRICS, RANKS = OF_RUN, "metrics.json", "ranks.parquet"
MODEL, HISTORY, SCRATCH = "model", "history", "scratch"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Args:
        folder: Where it is.
        recipe: What ran, resolved.
        metrics: What was measured.
    """

    folder: Path
    recipe: Recipe
    metrics: Mapping[str, Any]

    @cached_property
    def ranks(self) -> dict[str, Ranks]:
        """The ranks of ``valid`` and ``test``, of the first seed."""
        return read_ranks(self.folder / RANKS)

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """What the task made of ``valid`` and ``test``, of the first seed: ranks or predictions."""
        asked = self.recipe.evaluate.asked
        return asked.read(self.folder / asked.file)

    @cached_property
    def tests(self) -> Sequence[Outcome]:
        """What the task made of ``test``, of every seed."""
        asked, seeds = self.recipe.evaluate.asked, self.recipe.seeds
        folders = [folder_of(self.folder, seed, seeds) for seed in seeds]
        return [asked.read(folder / asked.file)["test"] for folder in folders]

    @cached_property
    def history(self) -> Graph:
        """What recommendations are made from."""
        return open_graph(self.folder / HISTORY)

    @cached_property
    def relation(self) -> str:
        """The relation that is predicted."""
        return str(self.metrics["data"]["relation"])

    def model(self) -> Model:
        """Return the trained model of the first seed."""
        model = Model.from_pretrained(self.folder / MODEL)
        return model if model.features.bound else model.bind(self.history)


def predictor_of(run: Run) -> Predictor:
    """Return what predicts as the run was measured: its model, from what its history shows."""
    last = run.recipe.stages[-1]
    return Predictor(run.model(), run.history, stage=last, relation=run.relation)


def folder_of(run: Path, seed: int, seeds: Sequence[int]) -> Path:
    """Return where one of the seeds of a run stands: the first one in the folder itself."""
    return run if seed == seeds[0] else run / f"seed-{seed}"


def open_run(folder: str | Path, *, trust_code: bool = False) -> Run:
    """Open the folder of a finished run.

    Args:
        folder: Of the run.
        trust_code: Let its recipe name code by dotted path or plug-in, which is then run.

    Raises:
        GraphRecError: When it is none, when the run was interrupted, and for a folder that another
            version wrote.
    """
    folder = Path(folder)
    try:
        content = parse_yaml((folder / RECIPE).read_text(encoding="utf-8"), str(folder / RECIPE))
    except OSError as error:
        got = "none of it" if folder.is_dir() else "no folder"
        hint = "`graphrec run RECIPE`, which makes one"
        raise GraphRecError(str(folder), "the folder of a run (recipe.yaml)", got, hint) from error
    metrics = _read_metrics(folder)
    with trusting(trust_code):
        return Run(folder, Recipe.checked(content, str(folder / RECIPE)), metrics)


def resume_command(folder: Path) -> str:
    """Return the command, ready for a shell, that goes on with the run in a folder."""
    return shlex.join(["graphrec", "run", str(folder / RECIPE), "--out", str(folder), "--resume"])


def measured_again(run: Run) -> Run:
    """Return a run with the metrics of its ranks or predictions, computed anew.

    Raises:
        GraphRecError: When they are not those that the run told.
    """
    metrics = dict(run.metrics)
    for when, outcome in run.outcomes.items():
        metrics[when] = evaluate(outcome, run.recipe.evaluate.metrics)
        before = run.metrics[when]
        if not all(isclose(before.get(name, nan), now) for name, now in metrics[when].items()):
            hint = "running it again"
            file = run.recipe.evaluate.asked.file
            expected = f"the {file.removesuffix('.parquet')} that {METRICS} tells of"
            raise GraphRecError(str(run.folder / file), expected, "others", hint)
    return replace(run, metrics=metrics)


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write what was measured, all or nothing: with it a run is finished."""
    record = {"format": FORMAT, "graphrec_pt": __version__, **metrics}
    write_text(folder / METRICS, json.dumps(record, indent=1, allow_nan=False) + "\n")


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / METRICS
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = resume_command(folder)
        raise GraphRecError(
            str(folder), "a finished run", "one that was interrupted", hint
        ) from None
    except (OSError, ValueError) as error:
        raise GraphRecError(str(path), "the metrics of a run", error, "running it again") from error
    stamp = record.get("format") if isinstance(record, dict) else None
    if stamp != FORMAT:
        written = record.get("graphrec_pt", "?") if isinstance(record, dict) else "?"
        hint = f"graphrec_pt {written}, which wrote it"
        raise GraphRecError(str(path), f"run format {FORMAT}", stamp or "none", hint)
    return dict(record)
