"""The folder of a run: its layout, and opening a finished run.

::

    recipe.yaml      the recipe with nothing left open
    data.json        the graph and the raw files that it was made from
    metrics.json     what was measured, written last
    report.html      the same as a page, by :func:`~graphrec_pt.serve.report.write.write_report`
    metrics.jsonl    a line for each logged step
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
from hashlib import file_digest
from math import isclose, nan
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from graphrec_pt.core.documents import digest_of, read_json_object, read_yaml_mapping
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.options import option_errors
from graphrec_pt.core.registry import trusting
from graphrec_pt.core.scratch import write_text
from graphrec_pt.core.version import __version__
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.evaluation.ranks import Ranks, read_ranks
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import open_graph
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.recipe.files import OF_RUN
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
        """Outcomes of ``valid`` and ``test`` of the first seed: ranks or predictions."""
        task = self.recipe.evaluate.asked
        return task.read(self.folder / task.file)

    @cached_property
    def tests(self) -> Sequence[Outcome]:
        """Outcomes of ``test`` of every seed."""
        task, seeds = self.recipe.evaluate.asked, self.recipe.seeds
        folders = [folder_of(self.folder, seed, seeds) for seed in seeds]
        return [task.read(folder / task.file)["test"] for folder in folders]

    @cached_property
    def history(self) -> Graph:
        """The history graph, from which recommendations are made."""
        return open_graph(self.folder / HISTORY)

    @cached_property
    def relation(self) -> str:
        """The predicted relation."""
        return str(self.metrics["data"]["relation"])

    def model(self) -> Model:
        """Return the trained model of the first seed."""
        model = Model.from_pretrained(self.folder / MODEL)
        return model if model.bound else model.attach_graph(self.history)


def predictor_of(run: Run) -> Predictor:
    """Return the predictor of the run: its model with the history graph of the test."""
    last = run.recipe.stages[-1]
    return Predictor(run.model(), run.history, stage=last, relation=run.relation)


def folder_of(run: Path, seed: int, seeds: Sequence[int]) -> Path:
    """Return where one of the seeds of a run stands: the first one in the folder itself."""
    return run if seed == seeds[0] else run / f"seed-{seed}"


def open_run(folder: str | Path, *, trust_code: bool = False) -> Run:
    """Open the folder of a finished run.

    Args:
        folder: Folder of the run.
        trust_code: Let its recipe name code by dotted path or plug-in, which is then run.

    Raises:
        GraphRecError: When it is none, when the run was interrupted, and for a folder that another
            version wrote.

    Example:
        >>> run = open_run("runs/toy")
        >>> predictor_of(run).rank(run.history.node_ids("user", ["ann"]), k=2).items.shape
        torch.Size([1, 2])
    """
    folder = Path(folder)
    try:
        content = read_yaml_mapping(folder / RECIPE)
    except OSError as error:
        got = "none of it" if folder.is_dir() else "no folder"
        hint = "`graphrec run RECIPE`, which makes one"
        raise GraphRecError(str(folder), "the folder of a run (recipe.yaml)", got, hint) from error
    metrics = _read_metrics(folder)
    with trusting(trust_code):
        recipe = Recipe.checked(content, str(folder / RECIPE))
    for name in recipe.evaluate.metrics:
        if not all(name in metrics[part] for part in ("valid", "test", "intervals")):
            raise GraphRecError(str(folder / METRICS), f"{name} of the recipe", "none of it")
    return Run(folder, recipe, metrics)


def resume_command(folder: Path) -> str:
    """Return the command, ready for a shell, that goes on with the run in a folder."""
    return shlex.join(["graphrec", "run", str(folder / RECIPE), "--out", str(folder), "--resume"])


def measured_again(run: Run) -> Run:
    """Return a run with the metrics of its ranks or predictions, computed anew.

    Raises:
        GraphRecError: When they differ from those that the run saved.
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
    """Write ``metrics.json`` atomically; the file marks a run as finished."""
    record = {"format": FORMAT, "graphrec_pt": __version__, **metrics}
    record["files"] = {name: _digest(folder / name) for name in _checked_files(folder)}
    record["digest"] = digest_of(json.loads(json.dumps(record)))
    write_text(folder / METRICS, json.dumps(record, indent=1, allow_nan=False) + "\n")


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / METRICS
    try:
        record = read_json_object(path, "running it again", finite=True)
    except FileNotFoundError:
        hint = resume_command(folder)
        raise GraphRecError(
            str(folder), "a finished run", "one that was interrupted", hint
        ) from None
    except OSError as error:
        raise GraphRecError(str(path), "the metrics of a run", error, "running it again") from error
    stamp = record.get("format")
    if stamp != FORMAT:
        hint = f"graphrec_pt {record.get('graphrec_pt', '?')}, which wrote it"
        raise GraphRecError(str(path), f"run format {FORMAT}", stamp or "none", hint)
    # Runs of older versions have neither digest nor files.
    content, hint = {name: v for name, v in record.items() if name != "digest"}, "running it again"
    if "digest" in record and record["digest"] != digest_of(content):
        raise GraphRecError(str(path), "the metrics that were saved", "others", hint)
    files = record.get("files", {})
    for name in files if isinstance(files, dict) else ():
        if (folder / name).is_file() and _digest(folder / name) != files[name]:
            raise GraphRecError(str(folder / name), "the file that was saved", "another", hint)
    try:
        _Metrics.model_validate(record)
    except ValidationError as error:
        raise option_errors(str(path), error, _Metrics)[0] from error
    return record


_Values = dict[str, float]


class _Compared(BaseModel):
    metric: str
    p_bootstrap: float | None


class _Data(BaseModel):
    name: str
    fingerprint: str
    relation: str


class _Tested(BaseModel):
    test: _Values


class _Spread(BaseModel):
    mean: float
    sd: float


class _Metrics(BaseModel):
    """The parts of ``metrics.json`` that commands and reports read, checked on opening."""

    data: _Data
    history: dict[str, str]
    seen: str
    valid: _Values
    test: _Values
    scratch: _Values | None
    intervals: dict[str, tuple[float, float]]
    baselines: dict[str, _Values]
    compared: dict[str, _Compared]
    other_policy: dict[str, _Tested]
    seeds: list[int]
    over_seeds: dict[str, dict[str, _Spread]]
    parameters: int
    seconds: float


def _checked_files(folder: Path) -> list[str]:
    """Return the files of a run that its numbers stand for, each the key to its folder."""
    names = ("*.parquet", "*.jsonl", f"{MODEL}/config.json", f"{HISTORY}/graph.json")
    files = [
        path for name in names for seed in ("", "seed-*/") for path in folder.glob(seed + name)
    ]
    files.append(folder / RECIPE)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
