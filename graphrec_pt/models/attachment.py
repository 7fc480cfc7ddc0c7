"""Prompts and adaptors for a model that is trained already."""

from typing import TYPE_CHECKING, Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import apart
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.adaptor import adaptor
from graphrec_pt.models.prompts.family import prompt

if TYPE_CHECKING:
    from graphrec_pt.models.model import Model

FAMILIES: dict[str, Any] = {"prompt": prompt, "adaptor": adaptor}
"""What can be attached, by the field of the model's config that says so."""


def attach(
    model: "Model",
    graph: Graph | None = None,
    *,
    prompt: Any = None,
    adaptor: Any = None,
    seed: int = 0,
) -> None:
    """Give a model a prompt and an adaptor; one that it has already is left as it is.

    From then on they are a part of the model: of its config, its weights and every pass.

    Args:
        model: Changed in place; the weights it has keep their values and names.
        graph: To bind a prompt to that reads one.
        prompt: Name, config or object; None for none.
        adaptor: Likewise.
        seed: Of the first weights.

    Raises:
        GraphRecError: When the model has another one, or no place for it.
    """
    for kind, config in (("prompt", prompt), ("adaptor", adaptor)):
        if config is None:
            continue
        wanted, has = FAMILIES[kind].build(config), getattr(model.config, kind)
        if has is None:
            attach_new(model, kind, wanted, seed)
            model.config = model.config.model_copy(update={kind: wanted})
        elif FAMILIES[kind].build(has) != wanted:
            hint = "the model as it was without"
            raise GraphRecError("model", f"no other {kind}", repr(has), hint)
    if graph is not None and model.prompt is not None:
        model.prompt.bind(graph)


def attach_new(model: "Model", kind: str, wanted: Any, seed: int) -> None:
    """Put a prompt or an adaptor into a model that has none."""
    wanted.attach(model, apart(seed, kind))
