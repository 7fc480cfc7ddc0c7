"""Options of a training run that are independent of model and stages, and what identifies a run."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.model import Model
from graphrec_pt.training.stage import Stage


class Options(Strict):
    """Options of a run.

    Args:
        seed: Seed of heads, batches, corruption and dropout.
        precision: Precision of the forward pass: ``"no"`` is float32.
        deterministic: Refuse operations whose result depends on chance or threads.
        compile: Compile with ``torch.compile`` what a backbone says can be.
        average: Decay of an exponential moving average of the parameters, which validation and
            the result use; 0 for none.
        sampling: Where batches are made: ``"device"`` keeps the graph on the GPU that trains, and
            samples, linearizes and corrupts there; the batches are the same.
        workers: Processes that sample, see :class:`~graphrec_pt.sampling.loader.Loader`.
        threads: Threads that sample when there are no workers.
        log_every: Steps between log rows.
        checkpoint_every: Steps between checkpoints; 0 for the ends of epochs alone.
        keep: Checkpoints kept.
        trackers: Any of tensorboard, wandb, mlflow.
        watch: The metric that early stopping and the best model go by; a loss or error is
            better when lower, everything else when higher.
        cpu: Stay on the CPU.
    """

    seed: int = Field(0, ge=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    deterministic: bool = False
    compile: bool = False
    average: float = Field(0.0, ge=0, lt=1)
    sampling: Literal["cpu", "device"] = "cpu"
    workers: int = Field(0, ge=0)
    threads: int = Field(1, ge=0)
    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(0, ge=0)
    keep: int = Field(2, ge=1)
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    watch: str | None = None
    cpu: bool = False


_RESULTS = {"seed", "precision", "average", "watch", "compile"}


def identity_of(
    model: Model, graph: Graph, stages: Sequence[Stage], options: Options
) -> dict[str, Any]:
    """Return the JSON-ready identity of a run."""
    shape = model.shape()
    for kind in ("prompt", "adaptor"):
        if any(getattr(stage.strategy, kind) is not None for stage in stages):
            shape.pop(kind, None)  # the run itself attaches it
    parts = {
        "graph": graph.fingerprint,
        "model": shape,
        "stages": [stage.model_dump(mode="json") for stage in stages],
        "options": options.model_dump(mode="json", include=_RESULTS),
    }
    if model.base is not None:
        parts["base"] = model.base.record.digest
    plain: dict[str, Any] = json.loads(json.dumps(parts))  # tuples as the lists they come back as
    return plain


def check_same_run(
    who: str, saved: Mapping[str, Any], wanted: Mapping[str, Any], of: str = "checkpoint"
) -> None:
    """Raise unless a checkpoint is of the run that is to go on.

    Args:
        who: Place of the checkpoint, for errors.
        saved: Its identity.
        wanted: That of the run.
        of: Name of the saved thing, for errors.

    Raises:
        GraphRecError: Names the first option that differs.
    """
    difference = _difference(saved, wanted)
    if difference is None:
        return
    place, before, now = difference
    if place == "graph":
        got = f"another one (fingerprints {before[1:9]} and {now[1:9]})"
        hint = "the data that it began with, or a new folder for the data of today"
        raise GraphRecError(who, f"the data that the {of} was made from", got, hint)
    hint = "the options of the run, or another folder"
    raise GraphRecError(f"{who}: {place}", f"{before} as in the {of}", now, hint)


def _difference(a: Any, b: Any, place: str = "") -> tuple[str, str, str] | None:
    """Return where two JSON values differ first, and how."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        pairs = [(f"{place}.{n}" if place else n, a.get(n), b.get(n)) for n in a.keys() | b.keys()]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = [(f"{place}[{n}]", x, y) for n, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return None if a == b else (place, _short(a), _short(b))
    differences = (
        _difference(x, y, name) for name, x, y in sorted(pairs, key=lambda pair: pair[0])
    )
    return next((difference for difference in differences if difference is not None), None)


def _short(value: Any) -> str:
    return json.dumps(value, default=str)[:80]
