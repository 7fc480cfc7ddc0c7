"""Run identity: the model, graph, stages and options that determine the results."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage

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
