"""What each published system trains, and what it leaves alone: one optimiser step of a stage.

A row says of a stage which tensors of the model stay the same to the bit and which ones move; it is
written from the publication, not from the recipe. A recipe that freezes anything needs a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.files import load_recipe, recipe_files
from graphrec_pt.recipe.recipe import Data
from graphrec_pt.sampling.loader import Batch
from graphrec_pt.training.batches import Preparation, roots_of
from graphrec_pt.training.optimizer_loop import MultiTaskModule
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy_run import make_ready, take_heads
from graphrec_pt.training.trainer import Trainer


@dataclass(frozen=True)
class Contract:
    """What holds of one stage of a recipe.

    Args:
        recipe: Its name.
        stage: Name of the stage.
        frozen: Patterns of what stays; everything else that the step reaches moves.
        moves: Patterns of what must move, every tensor of them; some tensor of each must be there.
        mode: How tokens see one another in the first view of the stage; None where it never makes
            one, because nothing trains.
        heads: Whether the heads of the stage's objectives train; otherwise they stay as well.
        cancelled: Weights of these heads that have no gradient under the loss.
    """

    recipe: str
    stage: str
    frozen: tuple[str, ...]
    moves: tuple[str, ...]
    mode: Mode | None = "bidirectional"
    heads: bool = True
    cancelled: tuple[str, ...] = ()


ITEMS = ("*.of_item.*", "backbone.*")
ENDS = ("*.of_user.*", *ITEMS)
LAYER = "backbone.layers.?"
UNPATCHED = (
    "features.*",
    "embedding.*",
    "backbone.[sn]*",
    f"{LAYER}.[bqu]*",
    f"{LAYER}.out.[wb]*",
    f"{LAYER}.down.[wb]*",
)
"""All but the patches behind two maps of each layer, whose own `down` begins with no gradient."""
WORDS = ("backbone.*", "embedding.*")
CONTRACTS = [
    Contract("s3rec", "pretrain", (), (*ITEMS, "*.of_attribute.*")),
    Contract("s3rec", "finetune", (), ITEMS, mode="causal"),
    Contract("resetbert4rec", "pretrain", (), ITEMS),
    Contract("resetbert4rec", "finetune", (), ITEMS, mode="causal"),
    Contract("ptum", "finetune", (), ITEMS, mode="causal"),
    Contract("uprec", "finetune", (), ITEMS, mode="causal"),
    Contract("u_bert", "finetune", (), ENDS),
    Contract("chest", "advanced", (), ENDS),
    # A softmax over pairs cancels what is added to all of their scores.
    Contract(
        "chest",
        "pairs",
        ("features.*",),
        ("backbone.*",),
        cancelled=("heads.of_link.score.out.bias",),
    ),
    # Positions and transformer stay; what makes vectors of texts, or of their codes, is tuned.
    Contract("unisrec", "finetune", ("backbone.*",), ("*.of_item.*",), "causal"),
    Contract(
        "vq_rec", "finetune", ("backbone.*", "*.source.*"), ("*.of_item.parts.0.[!s]*",), "causal"
    ),
    # Patches and the head are all that is new.
    Contract("peterrec", "purchases", UNPATCHED, ("*.adaptor.up.*",), "causal"),
    # The light form: the generator of prompts and the profiles that it reads.
    Contract(
        "ppr",
        "prompt",
        ("*.of_item.*", "backbone.*", "embedding.*"),
        ("prompt.inner.*", "prompt.made.*", "*.of_user.parts.0.*"),
        "causal",
        heads=False,
    ),
    Contract("prl", "prompt", (), ("embedding.prompt.*", *ITEMS), "causal"),
    Contract("p5_graph", "ask", ("*",), (), heads=False),
    # Zero-shot stages train nothing.
    Contract("sileo", "ask", ("*",), (), None, heads=False),
    *(
        Contract(name, "ask", ("*",), (), "causal", heads=False)
        for name in ("p5", "p5_beauty", "p5_explanation", "p5_rating")
    ),
    Contract("apirecx", "complete", ("*",), (), "causal", heads=False),
    # The language model stays; the prompt that fuses words and the knowledge graph is tuned, and
    # the vectors of the knowledge graph with it before the conversation.
    Contract("unicrs", "fusion", WORDS, ("features.of_type.of_item.*", "prompt.*"), "causal"),
    Contract("unicrs", "conversation", ("features.*", *WORDS), ("prompt.*",), "causal"),
    Contract("unicrs", "recommendation", ("features.*", *WORDS), ("prompt.*",), "causal"),
    # LoRA beside frozen attention maps; items and their gain are new.
    Contract("llara", "tune", ("backbone.words.*",), ("*.adaptor.*",), "causal"),
    # Ids wait for the second stage, which fills them with the encoded items.
    Contract("pmgt", "pretrain", ("*.of_item.parts.0.*",), ("*.of_attribute.*", "backbone.*")),
    Contract("pmgt", "finetune", (), ("*.of_item.parts.0.*", "backbone.*"), "causal"),
    Contract("prec", "pretrain", ("*.of_item.parts.0.*",), ("*.of_genre.*", "backbone.*")),
    Contract("mm_rec", "pretrain", ("*.of_item.parts.0.*",), ("backbone.*",)),
    # What was learned of texts stays; categories are new.
    Contract("recobert", "category", ("*.of_news.*", *WORDS), ("*.of_category.*",)),
    # Knowledge stays as it was pre-trained; the network that reads it is new.
    Contract("keep", "purchases", ("features.*",), ("backbone.*",), "causal"),
    # The encoder stays; texts without one stand for it here.
    Contract("twhin_bert", "engage", (), ITEMS, "causal"),
    Contract("guo2023", "prompt", ("features.*", *WORDS), ("prompt.*",), "causal"),
]
NAMES = {file.name.removesuffix(".yaml") for file in recipe_files()}
IDS = [f"{row.recipe}-{row.stage}" for row in CONTRACTS]


def freezes(stage: Stage) -> bool:
    """Say whether a stage leaves anything as it is."""
    rules = any(rule.freeze for rule in stage.optimization.rules)
    return rules or stage.strategy.trains != ("*",) or bool(stage.strategy.frozen)


def weights(model: Model) -> dict[str, Tensor]:
    named = {n: value for n, value in model.named_parameters() if not n.startswith("heads.")}
    return {name: value.detach().clone() for name, value in named.items()}


def first_heads(model: Model, stage: Stage) -> dict[str, Tensor]:
    """Return the weights of a stage's heads before its first step; the model stays as it is."""
    trained = dict(model.heads.items())
    learner = MultiTaskModule(model, stage.objectives, stage.balance, seed=0)
    take_heads(learner, stage.strategy)
    first = {n: w.detach().clone() for n, w in learner.named_parameters() if n.startswith("heads.")}
    model.heads.clear()
    model.heads.update(trained)
    return first


def any_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def test_every_stage_that_freezes_has_a_row() -> None:
    found = {
        f"{recipe.name}-{stage.name}"
        for recipe in map(load_recipe, sorted(NAMES))
        for stage in recipe.stages
        if freezes(stage)
    }
    assert found <= set(IDS)
    assert found  # or the test above would say nothing


@pytest.fixture(scope="module")
def train(raw: Path, small: Any) -> Callable[[str], Graph]:
    """Return the train graph of a recipe, made once for all recipes with the same data."""

    @cache
    def made(data: str) -> Graph:
        asked = Data.model_validate_json(data)
        return split_of(asked, graph_of(asked, raw)).train

    return lambda name: made(small(name).data.model_dump_json())


@pytest.mark.parametrize("row", CONTRACTS, ids=IDS)
def test_one_step(row: Contract, train: Callable[[str], Graph], small: Any) -> None:
    recipe, graph = small(row.recipe), train(row.recipe)
    short = {"steps": 1, "batch": 32, "patience": 0}
    stages = [stage.model_copy(update=short) for stage in recipe.stages]
    at = [stage.name for stage in stages].index(row.stage)
    model = Model.of(graph, **dict(recipe.model), seed=0)
    stages = [stage.with_words(model.tokenizer, model.num_words) for stage in stages]
    if at:
        Trainer(cpu=True).fit(model, graph, stages[:at])
    make_ready(model, graph, stages[at], 0)  # prompts and adaptors, as they begin
    before, heads = weights(model), first_heads(model, stages[at])
    Trainer(cpu=True).fit(model, graph, stages[at])
    after = weights(model)
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    for pattern in (*row.frozen, *row.moves):
        assert any(fnmatchcase(name, pattern) for name in before), pattern
    assert not [name for name in moved if any_of(name, row.frozen)]
    wanted = {name for name in before if any_of(name, row.moves)}
    assert wanted <= moved, sorted(wanted - moved)
    last = {name: weight for name, weight in model.named_parameters() if name in heads}
    assert last.keys() == heads.keys()
    changed = {name for name in heads if not torch.equal(heads[name], last[name])}
    assert changed == (set(heads) - set(row.cancelled) if row.heads else set())


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=name) for name, row in zip(IDS, CONTRACTS, strict=True) if row.mode],
)
def test_how_tokens_see_one_another(
    row: Contract, train: Callable[[str], Graph], small: Any
) -> None:
    recipe, graph = small(row.recipe), train(row.recipe)
    stage = next(stage for stage in recipe.stages if stage.name == row.stage)
    if recipe.model.text:
        model = Model.of(graph, **dict(recipe.model), seed=0)
        stage = stage.with_words(model.tokenizer, model.num_words)
    roots, exclude = roots_of(graph, stage.sampler, stage.roots)
    made = Preparation(graph, stage.sampler, stage.linearizer, {}, roots, exclude)
    rows, key = torch.arange(8), Key(0)
    hidden = {} if exclude is None else {"exclude": exclude[rows]}
    sample = stage.sampler.sample(graph, roots[rows], key, **hidden)
    examples = made.examples(Batch(0, 0, len(rows), rows, sample, key))
    view = stage.objectives[0].objective.corrupt(examples).views[0]
    assert (view.mode or recipe.model.backbone.mode) == row.mode
