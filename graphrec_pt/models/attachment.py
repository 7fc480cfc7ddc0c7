"""Attaching prompts and adaptors to a model that is already trained."""

from collections.abc import Mapping

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import derive_seed
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.adaptor import Adaptor
from graphrec_pt.models.adaptor import adaptor as adaptors
from graphrec_pt.models.model import Model
from graphrec_pt.models.prompts.family import PromptConfig
from graphrec_pt.models.prompts.family import prompt as prompts


def attach(
    model: Model,
    graph: Graph | None = None,
    *,
    prompt: str | Mapping[str, object] | PromptConfig | None = None,
    adaptor: str | Mapping[str, object] | Adaptor | None = None,
    seed: int = 0,
) -> None:
    """Add a prompt and an adaptor to a model; existing ones are kept unchanged.

    From then on they are a part of the model: of its config, its weights and every pass.

    Args:
        model: Changed in place; the weights it has keep their values and names.
        graph: To bind a prompt to that reads one.
        prompt: Name, config or object; None for none.
        adaptor: Likewise.
        seed: Seed of the first weights.

    Raises:
        GraphRecError: When the model has another one, or no place for it.
    """
    attached = (
        ("prompt", None if prompt is None else prompts.build(prompt), model.config.prompt),
        ("adaptor", None if adaptor is None else adaptors.build(adaptor), model.config.adaptor),
    )
    for kind, wanted, has in attached:
        if wanted is None:
            continue
        if has is None:
            wanted.attach(model, derive_seed(seed, kind))
            model.config = model.config.model_copy(update={kind: wanted})
        elif has != wanted:
            hint = "the model as it was without"
            raise GraphRecError("model", f"no other {kind}", repr(has), hint)
    if graph is not None and model.prompt is not None:
        model.prompt.attach_graph(graph)
