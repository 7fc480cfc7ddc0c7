"""Zero-shot test: evaluate the model of a recipe on data that it never trained on."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import Split
from graphrec_pt.models.model import Model
from graphrec_pt.models.transfer import transfer
from graphrec_pt.recipe.data import baselines_of, check_fits, graph_of, split_of
from graphrec_pt.recipe.measure import differences, intervals
from graphrec_pt.recipe.recipe import Recipe


class TransferResult(NamedTuple):
    """The result of a model on other data.

    Args:
        outcome: Outcome of the test targets there.
        untrained: The same of an untrained model of the same shape.
        known: How many of the nodes there the model knew by type and raw id, and of how many.
    """

    outcome: Outcome
    untrained: Outcome
    known: Mapping[str, tuple[int, int]]


def other_data(recipe: Recipe) -> Split | None:
    """Return the other data of a recipe, split as the recipe says; None for no such data.

    Raises:
        GraphRecError: For data that the last stage of the recipe does not fit.
    """
    wanted = recipe.evaluate.transfer
    if wanted is None:
        return None
    made = split_of(wanted, graph_of(wanted, wanted.raw))
    check_fits(recipe.model_copy(update={"stages": recipe.stages[-1:]}), made)
    return made


def zero_shot(recipe: Recipe, model: Model, made: Split, seed: int) -> TransferResult:
    """Evaluate a trained model on other data without any training there.

    What reads content goes along, and so do nodes of the same type and raw id; everything else is
    as in a new model; see :func:`~graphrec_pt.models.transfer.transfer`.
    """
    task, policy, last = recipe.evaluate.asked, recipe.evaluate.policy, recipe.stages[-1]
    there, report = transfer(model, made.train, seed=seed)
    new = Model(recipe.model, GraphSpec.of(made.train), seed, model.tokenizer)
    new.attach_graph(made.train)
    new.heads = deepcopy(there.heads)
    outcomes = [
        task.judge(task.trained(each, last, made, "test"), made, "test", policy)
        for each in (there, new)
    ]
    return TransferResult(outcomes[0], outcomes[1], report.nodes)


def zero_shot_metrics(recipe: Recipe, made: Split, result: TransferResult) -> dict[str, Any]:
    """Return the numbers of a model on other data, beside those of baselines fitted there.

    The baselines learn from the training edges of the other data, which the model never saw.
    """
    wanted, key = recipe.evaluate, Key(0).named("run")
    task, policy = wanted.asked, wanted.policy
    compared = recipe.options.watch or wanted.metrics[0]
    baselines = {
        name: task.judge(task.fitted(config, made, "test"), made, "test", policy)
        for name, config in baselines_of(recipe, made).items()
    }
    others = {**baselines, "untrained": result.untrained}
    assert wanted.transfer is not None
    return {
        "name": wanted.transfer.card or wanted.transfer.graph,
        "fingerprint": made.graph.fingerprint,
        "known": {kind: list(hits) for kind, hits in result.known.items()},
        "test": evaluate(result.outcome, wanted.metrics),
        "intervals": intervals(result.outcome, wanted.metrics, key),
        "untrained": evaluate(result.untrained, wanted.metrics),
        "baselines": {name: evaluate(each, wanted.metrics) for name, each in baselines.items()},
        "compared": differences(result.outcome, others, compared, key),
    }
