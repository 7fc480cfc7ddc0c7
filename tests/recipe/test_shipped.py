"""Every recipe that ships runs, for twenty steps a stage, on an invented shop."""

from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.registry import name_of
from graphrec_pt.objectives.link import LinkPrediction
from graphrec_pt.recipe.files import recipe_files
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.recommender import from_pretrained

NAMES = [file.name.removesuffix(".yaml") for file in recipe_files()]


@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps(name: str, raw: Path, tmp_path: Path, small: Any) -> None:
    stages = small(name).stages
    steps = [f"stages.{number}.steps=20" for number in range(len(stages))]
    batches = [f"stages.{number}.batch=16" for number in range(len(stages))]
    last = [type(term.objective) for term in stages[-1].objectives]
    few = [
        f"stages.{len(stages) - 1}.objectives.{n}.rerank=4"
        for n, each in enumerate(last)
        if each is LinkPrediction
    ]
    cheap = small(name, *steps, *batches, *few)
    done = run_recipe(cheap, tmp_path / "run", raw=raw)
    watched = cheap.options.watch
    assert 0 < done.metrics["test"][watched] < (4 if watched == "rmse" else 1)
    assert (done.metrics["scratch"] is None) == (len(stages) == 1)
    assert ("scratch" in done.metrics["compared"]) == (len(stages) > 1)
    if name_of(cheap.evaluate.asked) != "ranking":
        return
    loaded = from_pretrained(done)
    some = loaded.history.tables[loaded.user_type]["id"].head(2).to_list()
    given = loaded.recommend(some, k=5, explain=True)
    assert [len(each.items) for each in given] == [5, 5]


@pytest.mark.parametrize("name", NAMES)
def test_the_header_says_what_was_done(name: str) -> None:
    text = next(f for f in recipe_files() if f.name == f"{name}.yaml").read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("#")]
    for word in ("# Re-derived:", f"# Command: graphrec run {name}", "# Time and result:"):
        assert any(line.startswith(word) for line in header), word
