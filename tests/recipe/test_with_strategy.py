"""One finished pre-training adapted by each of the eight strategies, without being repeated."""

import json
import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt import Graph, GraphRecError, Model, from_pretrained, strategy, write_report
from graphrec_pt.objectives.answer import Answer
from graphrec_pt.recipe.data import graph_of
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.recipe.with_strategy import with_strategy
from graphrec_pt.tokens.template import Template
from graphrec_pt.training.tracking import read_metrics

QUICK = (
    "stages.0.steps=3",
    "stages.1.steps=3",
    "stages.0.batch=16",
    "stages.1.batch=16",
    "stages.1.optimization.lr=0.01",
    "evaluate.baselines=[popularity]",
    "evaluate.scratch=false",
)


@dataclass(frozen=True)
class Row:
    """A strategy under test.

    Args:
        name: Of the strategy.
        changed: Globs over the weights of the model that no longer are the pre-trained ones.
        steps: Taken after the pre-training.
        template: Whether a hard prompt was made for it.
    """

    name: str
    changed: tuple[str, ...]
    steps: int = 3
    template: bool = False


EVERY = ("features.*", "backbone.*")
ROWS = [
    Row("pretrain", EVERY),
    Row("finetune_whole", EVERY),
    Row("finetune_part", ("*adaptor*",)),
    Row("finetune_extra", EVERY),
    Row("prompt_tune", ("prompt.*",)),
    Row("tune_with_fixed_prompt", (*EVERY, "embedding.*"), template=True),
    Row("prompt_free", (), steps=0, template=True),
    Row("prompt_and_tune", (*EVERY, "prompt.*"), steps=6),
]


@pytest.fixture(scope="module")
def finished(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of s3rec, pre-trained with two seeds."""
    recipe = small("s3rec", *QUICK, "seeds=[0, 1]")
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "s3rec", raw=raw)


@pytest.fixture(scope="module")
def graph(finished: Run, raw: Path) -> Graph:
    return graph_of(finished.recipe.data, raw)


@pytest.fixture(scope="module")
def chest(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of chest, which reads subgraphs of pairs."""
    steps = [f"stages.{n}.steps=1" for n in range(4)] + [f"stages.{n}.batch=8" for n in range(4)]
    recipe = small("chest", *steps, "stages.3.objectives.0.rerank=2", "evaluate.scratch=false")
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "chest", raw=raw)


def swapped(finished: Run, graph: Graph, wanted: Any, out: Path, *overrides: str) -> Run:
    recipe = with_strategy(load_recipe(finished.folder, ["seeds=[0]", *overrides]), wanted, graph)
    return run_recipe(recipe, out, graph=graph, pretrained=finished.folder)


def weights(model: Model) -> dict[str, Tensor]:
    return dict(model.state_dict())


def test_every_strategy_has_a_row() -> None:
    ours = {n for n in strategy.names() if strategy.get(n).__module__.startswith("graphrec_pt.")}
    assert ours == {row.name for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_pretraining_is_adapted_without_being_repeated(
    row: Row, finished: Run, graph: Graph, tmp_path: Path
) -> None:
    done = swapped(finished, graph, row.name, tmp_path / "swapped")
    stages = {line["stage"]: line["stage_step"] for line in read_metrics(done.folder)}
    assert set(stages) <= {"finetune", "finetune, first"}  # nothing of the stage before
    assert sum(stages.values()) == row.steps
    assert done.metrics["pretrained"] == str(finished.folder)
    assert (done.recipe.stages[1].linearizer.registered_name == "template") == row.template
    before = Model.from_pretrained(finished.folder / "pretrained").state_dict()
    after = done.model().state_dict()
    changed = {n for n in after if n not in before or not torch.equal(before[n], after[n])}
    assert all(any(fnmatchcase(name, glob) for glob in row.changed) for name in changed)
    assert all(any(fnmatchcase(name, glob) for name in changed) for glob in row.changed)

    again = run_recipe(load_recipe(done.folder), tmp_path / "whole", graph=graph)
    assert {line["stage"] for line in read_metrics(again.folder)} >= {"pretrain"}
    assert again.metrics["pretrained"] is None
    whole, ours = weights(again.model()), weights(done.model())
    assert whole.keys() == ours.keys()
    assert all(torch.equal(whole[name], ours[name]) for name in whole)
    for when in ("valid", "test"):
        assert again.metrics[when] == done.metrics[when]
        assert again.ranks[when].table.equals(done.ranks[when].table)


def test_new_heads_train_with_a_prompt(finished: Run, graph: Graph, tmp_path: Path) -> None:
    """The pre-training has no head of the next item: it cannot be kept."""
    head = "stages.1.objectives=[next_item]"
    done = swapped(finished, graph, "prompt_tune", tmp_path / "run", head)
    assert done.recipe.stages[1].strategy.trains == ("*.prompt.*", "heads.*")
    said = {"name": "prompt_tune", "head": "kept"}
    with pytest.raises(GraphRecError, match="a head of 'next_item' that was trained"):
        swapped(finished, graph, said, tmp_path / "said", head)


def test_what_is_said_of_a_strategy_holds(finished: Run, graph: Graph, tmp_path: Path) -> None:
    wanted = {"name": "prompt_tune", "prompt": {"name": "prefix", "size": 3}}
    done = swapped(finished, graph, wanted, tmp_path / "run")
    assert done.recipe.stages[1].strategy.prompt.size == 3
    assert done.model().state_dict()["prompt.vectors.weight"].shape[0] == 3


def test_each_seed_has_its_own(finished: Run, graph: Graph, tmp_path: Path) -> None:
    done = swapped(finished, graph, "finetune_part", tmp_path / "run", "seeds=[1, 0]")
    ours = Model.from_pretrained(done.folder / "model").state_dict()
    theirs = Model.from_pretrained(finished.folder / "seed-1" / "pretrained").state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    with pytest.raises(GraphRecError, match=r"a pre-training with seed 2, got seeds 0, 1"):
        swapped(finished, graph, "finetune_part", tmp_path / "other", "seeds=[2]")


def test_a_swap_of_a_swap(finished: Run, graph: Graph, tmp_path: Path) -> None:
    """Nothing of the first one is left, neither its prompt nor its template."""
    for name in ("prompt_tune", "prompt_free"):
        first = swapped(finished, graph, name, tmp_path / name)
        second = swapped(first, graph, "finetune_whole", tmp_path / f"{name} again")
        assert second.metrics["pretrained"] == str(finished.folder)
        assert second.metrics["test"] == finished.metrics["test"]
        assert second.recipe.stages == finished.recipe.stages


def test_new_users_cannot_be_named_in_a_template(
    finished: Run, graph: Graph, tmp_path: Path
) -> None:
    recommender = from_pretrained(swapped(finished, graph, "prompt_free", tmp_path / "run"))
    assert len(recommender.recommend(["3"], k=2)[0].items) == 2
    with pytest.raises(GraphRecError, match="sources that it knows, got new ones"):
        recommender.recommend([["3"]], k=2)


def test_an_interrupted_swap_goes_on(finished: Run, graph: Graph, tmp_path: Path) -> None:
    epochs = ("stages.1.steps=null", "stages.1.epochs=3")
    done = swapped(finished, graph, "prompt_tune", tmp_path / "run", *epochs)
    numbers = done.metrics["test"]
    (done.folder / "metrics.json").unlink()
    last = sorted((done.folder / "checkpoint").iterdir())[-1]
    shutil.rmtree(last)
    again = run_recipe(load_recipe(done.folder), done.folder, graph=graph, resume=True)
    assert again.metrics["test"] == numbers
    assert {line["stage"] for line in read_metrics(again.folder)} == {"finetune"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.batch=7", r"stages\[0\]\.batch: expected 16 as in the pre-training, got 7"),
        ("model.backbone.width=8", r"width: expected 16 as in the pre-training, got 8"),
        ("data.seed=5", r"the data that the pre-training was made from"),
        ("options.average=0.5", r"average: expected 0.0 as in the pre-training, got 0.5"),
    ],
)
def test_another_pretraining_is_told(
    override: str, message: str, finished: Run, raw: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(finished.folder, ["seeds=[0]", override])
    graph = graph_of(recipe.data, raw)
    with pytest.raises(GraphRecError, match=message) as error:
        run_recipe(with_strategy(recipe, "prompt_tune", graph), tmp_path / "out", graph=graph,
                   pretrained=finished.folder)  # fmt: skip
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_runs_without_a_pretraining_are_told(
    finished: Run, graph: Graph, small: Any, tmp_path: Path
) -> None:
    with pytest.raises(GraphRecError, match="a recipe whose first stages pre-train"):
        with_strategy(small("sasrec"), "prompt_tune", graph)
    with pytest.raises(GraphRecError, match="did you mean 'prompt_tune'"):
        with_strategy(finished.recipe, "promt_tune", graph)
    with pytest.raises(GraphRecError, match="a run with a finished pre-training, got no folder"):
        run_recipe(finished.recipe, tmp_path / "out", graph=graph, pretrained=tmp_path / "none")
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    record = json.loads((copy / "pretrained.json").read_text())
    (copy / "pretrained.json").write_text(json.dumps({**record, "format": 99}))
    with pytest.raises(GraphRecError, match="pre-training format 1, got 99"):
        run_recipe(finished.recipe, tmp_path / "out", graph=graph, pretrained=copy)
    (copy / "pretrained.json").unlink()
    with pytest.raises(GraphRecError, match="finished pre-training, got none of seed 0"):
        run_recipe(finished.recipe, tmp_path / "out", graph=graph, pretrained=copy)


def test_towers_keep_their_strategy(chest: Run, raw: Path, tmp_path: Path) -> None:
    """Chest: vectors without a sequence have no place for a prompt, subgraphs of pairs do."""
    recipe, graph = chest.recipe, graph_of(chest.recipe.data, raw)
    changed = with_strategy(recipe, "prompt_tune", graph)
    told = [stage.strategy.name for stage in changed.stages[2:]]
    assert told == ["finetune_whole", "prompt_tune"]
    done = run_recipe(changed, tmp_path / "swapped", graph=graph, pretrained=chest.folder)
    assert {line["stage"] for line in read_metrics(done.folder)} == {"towers", "pairs"}
    again = run_recipe(changed, tmp_path / "whole", graph=graph)
    assert again.ranks["test"].table.equals(done.ranks["test"].table)


@pytest.mark.parametrize(
    ("name", "trains"), [("prompt_free", False), ("tune_with_fixed_prompt", True)]
)
def test_templates_ask_for_the_items_of_pairs(
    name: str, trains: bool, chest: Run, raw: Path, tmp_path: Path
) -> None:
    """The head that was pre-trained on masked nodes answers, from subgraphs without the item."""
    graph = graph_of(chest.recipe.data, raw)
    changed = with_strategy(chest.recipe, name, graph)
    last = changed.stages[-1]
    assert isinstance(last.linearizer, Template)
    assert [(t.label, type(t.objective)) for t in last.objectives] == [("masked_node", Answer)]
    done = run_recipe(changed, tmp_path / "swapped", graph=graph, pretrained=chest.folder)
    steps = [line["stage_step"] for line in read_metrics(done.folder) if line["stage"] == "pairs"]
    assert max(steps) == int(trains)
    before = Model.from_pretrained(chest.folder / "pretrained").state_dict()
    after = done.model().state_dict()
    moved = [n for n in after if n.startswith("backbone.") and not torch.equal(before[n], after[n])]
    assert bool(moved) == trains
    assert write_report(done).is_file()  # a stage without a step has no curve
    assert isinstance(
        with_strategy(done.recipe, "prompt_free", graph).stages[-1].linearizer, Template
    )
    with pytest.raises(GraphRecError, match="links to be told, got a template's answers") as error:
        with_strategy(done.recipe, "finetune_whole", graph)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["u_bert", "flagship"])
def test_heads_of_another_shape_train_too(name: str, raw: Path, small: Any) -> None:
    """The pre-training has a head of the same label, but it answers something else."""
    recipe = small(name)
    last = with_strategy(recipe, "prompt_tune", graph_of(recipe.data, raw)).stages[-1]
    assert last.strategy.trains == ("*.prompt.*", "heads.*")


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("liu2023c", "prompt_tune", "'rank': expected a loss that depends on what trains"),
        ("pearlm", "prompt_free", "expected sequences or subgraphs to precede, got paths"),
        ("g_bert", "prompt_free", "a head of 'root_set' that was trained, got none in the model"),
    ],
)
def test_a_strategy_without_a_place_is_told(
    name: str, wanted: str, message: str, raw: Path, small: Any, tmp_path: Path
) -> None:
    """Vectors have none for a prompt, paths none for a template, and nothing can answer unasked."""
    short = [f"stages.{n}.{option}" for n in (0, 1) for option in ("steps=1", "batch=4")]
    recipe = small(name, *short, "evaluate.scratch=false")
    graph = graph_of(recipe.data, raw)
    with pytest.raises(GraphRecError, match=message) as error:
        run_recipe(with_strategy(recipe, wanted, graph), tmp_path / "run", graph=graph)
    assert len(str(error.value).splitlines()) == 1
