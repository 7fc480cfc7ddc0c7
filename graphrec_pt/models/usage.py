"""Usage: the configs with which a saved model samples, linearizes and predicts."""

from pydantic import JsonValue

from graphrec_pt.graph.schema import Strict


class Usage(Strict):
    """The sampler, linearizer and objectives of the last training stage.

    The configs of samplers, linearizers and objectives are JSON: models stand below those who build
    them.

    Args:
        sampler: Config of what samples around a source.
        linearizer: Config of what turns a sample into tokens.
        objectives: Config of each objective by its label, under which its head is kept.
        relation: What is predicted; None for the first interaction relation of the graph.
    """

    sampler: dict[str, JsonValue]
    linearizer: dict[str, JsonValue]
    objectives: dict[str, dict[str, JsonValue]]
    relation: str | None = None
