"""Parts from outside the library in a recipe, and models that predict without one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import graphrec_pt
from graphrec_pt import GraphRecError, from_pretrained
from graphrec_pt.recipe.run import run_recipe

ZIGZAG = '''
from graphrec_pt import sampler


@sampler("{name}")
class Zigzag:
    """Walk along one relation and back along another."""

    forth: str
    back: str
    hops: int = 4

    def sample(self, graph, roots, key, exclude=None):
        from graphrec_pt.sampling.walks import Metapath

        way = [self.forth, self.back] * (self.hops // 2)
        walks = Metapath(relations=tuple(way))
        return walks.sample(graph, roots, key, exclude)
'''


@pytest.fixture
def own_code(tmp_path: Path) -> Iterator[str]:
    """A module outside the package, on the path."""
    (tmp_path / "own_samplers.py").write_text(ZIGZAG.format(name="own_zigzag"))
    sys.path.insert(0, str(tmp_path))
    yield "own_samplers"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("own_samplers", None)


def test_a_sampler_of_ones_own_in_a_recipe(
    own_code: str, raw: Path, tmp_path: Path, small: Any
) -> None:
    stage = (
        "stages=[{name: walk, sampler: {name: own_zigzag, forth: buys, back: bought_by},"
        " linearizer: path, objectives: [masked_node], steps: 3, batch: 16},"
        " {name: train, sampler: history, linearizer: history, objectives: [next_item],"
        " strategy: finetune_whole, steps: 3, batch: 16}]"
    )
    with pytest.raises(GraphRecError, match=r"stages\.0\.sampler: expected a known name"):
        small("sasrec", stage)
    __import__(own_code)
    done = run_recipe(small("sasrec", stage), tmp_path / "run", raw=raw)
    assert done.recipe.stages[0].sampler.hops == 4
    assert done.metrics["scratch"] is not None
    with pytest.raises(GraphRecError) as error:
        small("sasrec", stage.replace("forth: buys", "forht: buys"))
    assert "did you mean 'forth'" in str(error.value)


PACKAGE = Path(__file__).parents[1] / "plugin_package"


def graphrec(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, which finds the package."""
    paths = [str(Path(graphrec_pt.__file__).parents[1]), str(PACKAGE)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "graphrec_pt", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def trusted(*arguments: str, cwd: Path) -> str:
    done = graphrec(*arguments, "--trust-code", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_package_outside_the_library_ranks(raw: Path, tmp_path: Path) -> None:
    """Sampler, featurizer, objective and task are all its own; no file of ours knows them."""
    recipe, out = str(PACKAGE / "ranks.yaml"), "ranks"
    refused = graphrec("run", recipe, "--raw", str(raw), "--out", out, cwd=tmp_path)
    assert refused.returncode == 2
    assert "own_parts" in refused.stderr
    assert "--trust-code" in refused.stderr
    assert not (tmp_path / out).exists()
    trusted("run", recipe, "--raw", str(raw), "--out", out, cwd=tmp_path)
    measured = json.loads(trusted("evaluate", out, "--json", cwd=tmp_path))
    assert set(measured["test"]) == {"hr@2", "mrr"}
    assert 0 < measured["test"]["mrr"] < 1
    known = json.loads(
        trusted("recommend", out, "--user", "1", "-k", "4", "--explain", "--json", cwd=tmp_path)
    )
    assert len(json.dumps(known)) > 4
    new = trusted("recommend", out, "--history", "3,7,9", "-k", "4", cwd=tmp_path)
    assert new
    for kind in ("embeddings", "ann"):
        trusted("export", out, "--to", kind, cwd=tmp_path)
        assert any((tmp_path / out / kind).iterdir())
    queries = pl.read_parquet(tmp_path / out / "ann" / "queries.parquet")
    assert len(queries) == 60
    refused = graphrec("recommend", out, "--user", "1", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--trust-code" in refused.stderr


def test_a_package_outside_the_library_rates(raw: Path, tmp_path: Path) -> None:
    out = "rates"
    given = str(PACKAGE / "rates.yaml"), "--raw", str(raw), "--out", out
    trusted("run", *given, cwd=tmp_path)
    measured = json.loads(trusted("evaluate", out, "--json", cwd=tmp_path))
    assert 0 < measured["test"]["rmse"] < 4
    predicted = pl.read_parquet(tmp_path / out / "predictions.parquet")
    assert predicted["predicted"].is_between(1, 5).all()  # ratings of the data
    trusted("export", out, "--to", "embeddings", cwd=tmp_path)
    refused = graphrec("recommend", out, "--user", "1", "--trust-code", cwd=tmp_path)
    assert refused.returncode == 2
    assert "an objective that ranks, got Stars" in refused.stderr


PREDICTS = """
import json, sys
import torch
from graphrec_pt import Model, open_graph
from graphrec_pt.predict.predictor import Predictor

model = Model.from_pretrained("run/model", trust_code=True)
predictor = Predictor(model, open_graph("run/history"), trust_code=True)
graph = predictor.graph
users = torch.tensor([graph.node_id("user", name) for name in sys.argv[1:]])
best = predictor.rank(users, 5)
print(json.dumps([
    [[graph.raw_id(item), score] for item, score in zip(*row, strict=True)]
    for row in zip(best.items.tolist(), best.score.tolist(), strict=True)
]))
alone = Predictor(Model.from_pretrained("run/model", trust_code=True), trust_code=True)
histories = [graph.neighbors(int(user), "buys") for user in users]
again = alone.rank(histories, 5)
assert again.items.tolist() == best.items.tolist()
"""


def test_a_saved_model_predicts_in_another_process_without_its_recipe(
    raw: Path, tmp_path: Path, small: Any
) -> None:
    """Beside the graph of the run, and from histories alone."""
    recipe = small("sasrec", "stages.0.steps=20", "stages.0.batch=16")
    done = run_recipe(recipe, tmp_path / "run", raw=raw)
    names = ["1", "7", "30"]
    given = from_pretrained(done).recommend(names, k=5)
    expected = [[[item.id, item.score] for item in each.items] for each in given]
    (tmp_path / "run" / "recipe.yaml").unlink()
    (tmp_path / "run" / "metrics.json").unlink()
    path = str(Path(graphrec_pt.__file__).parents[1])
    told = subprocess.run(
        [sys.executable, "-c", PREDICTS, *names],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == expected
