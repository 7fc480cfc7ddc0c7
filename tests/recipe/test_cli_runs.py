"""The command line from a recipe to recommendations, as a user meets it."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from graphrec_pt import open_run
from graphrec_pt.cli import main
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.training.tracking import read_metrics

SMALL = [
    "model.backbone.width=16",
    "model.backbone.layers=1",
    "evaluate.baselines=[popularity, markov]",
    "options.cpu=true",
]


def run(raw: Path, out: Path, *more: str) -> int:
    return main(["run", "sasrec", *SMALL, *more, "--raw", str(raw), "--out", str(out)])


@pytest.fixture(scope="module")
def runs(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, one of which learnt more."""
    folder = tmp_path_factory.mktemp("runs")
    assert run(raw, folder / "one", "stages.0.epochs=1") == 0
    long = ["stages.0.epochs=25", "stages.0.optimization.lr=0.02"]
    assert run(raw, folder / "many", *long) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_run_tells_what_it_measured(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raw, tmp_path / "out", "stages.0.steps=2") == 0
    found = capsys.readouterr()
    for word in ("sasrec on amazon-beauty", "popularity", "95 %", f"saved in {tmp_path / 'out'}"):
        assert word in found.out
    assert "seed 0: training train" in found.err
    assert (tmp_path / "out" / "metrics.json").exists()


def test_evaluate(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(runs / "one")]) == 0
    assert "history: valid train, test train + valid" in said(capsys)
    assert main(["evaluate", str(runs / "one"), "--json"]) == 0
    told = json.loads(said(capsys))
    assert told == json.loads((runs / "one" / "metrics.json").read_text())


def test_ranks_that_were_changed_are_told(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs / "one", copy)
    path = copy / "ranks.parquet"
    policy = {k: v for k, v in pl.read_parquet_metadata(path).items() if "ARROW" not in k}
    pl.read_parquet(path).with_columns(rank=pl.lit(1.0)).write_parquet(path, metadata=policy)
    assert main(["evaluate", str(copy)]) == 2
    assert "ranks.parquet: expected the file that was saved" in capsys.readouterr().err
    older = json.loads((copy / "metrics.json").read_text())
    del older["files"], older["digest"]  # as before there were any
    (copy / "metrics.json").write_text(json.dumps(older))
    assert main(["evaluate", str(copy)]) == 2
    assert "the ranks that metrics.json tells of" in capsys.readouterr().err


def test_recommend(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["recommend", str(runs / "many"), "--user", "3", "--user", "5", "-k", "4"]
    assert main(command) == 0
    assert "3, " in said(capsys)
    assert main([*command, "--explain", "--json"]) == 0
    found = json.loads(said(capsys))
    assert [each["user"] for each in found] == ["3", "5"]
    assert all(len(each["items"]) == 4 for each in found)
    paths = [path for item in found[0]["items"] for path in item["paths"]]
    assert paths
    assert paths[0]["nodes"][0] == {"type": "user", "id": "3"}
    assert main([*command, "--explain"]) == 0
    told = said(capsys)
    assert "link to the history" in told
    assert "not the model's reasons" in told
    assert main([*command, "--history", "1", "-k", "1"]) == 0
    assert "new user, 1 item in the history" in said(capsys)


def test_compare_marks_what_differs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", str(runs / "one"), str(runs / "many"), "--metric", "ndcg@10"]
    assert main(command) == 0
    assert "paired bootstrap over users, * p < .05, ** p < .01\n" in said(capsys)
    assert main([*command, "--json"]) == 0
    one, many = json.loads(said(capsys))
    assert one["differences"] == {}
    told = many["differences"]["ndcg@10"]
    difference = many["values"]["ndcg@10"] - one["values"]["ndcg@10"]
    assert told["difference"] == pytest.approx(difference)
    assert told["difference"] > 0
    main(command)
    row = next(line for line in said(capsys).splitlines() if line.startswith("ndcg@10"))
    assert ("*" in row) == (told["p_bootstrap"] < 0.05)


def test_export(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "vectors"
    assert main(["export", str(runs / "one"), "--to", "embeddings", "--out", str(out)]) == 0
    table = pl.read_parquet(out / "item-00000.parquet")
    assert len(table) == 40
    assert table.schema["vector"] == pl.Array(pl.Float32, 16)
    assert main(["export", str(runs / "one"), "--to", "embeddings", "--out", str(out)]) == 2
    assert "a new folder" in capsys.readouterr().err


def test_recipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "ls"]) == 0
    assert "sasrec" in said(capsys)
    assert main(["recipe", "ls", "--json"]) == 0
    assert "sasrec" in {row["name"] for row in json.loads(said(capsys))}
    mine = tmp_path / "mine.yaml"
    assert main(["recipe", "copy", "sasrec", str(mine)]) == 0
    said(capsys)
    assert main(["recipe", "show", "sasrec"]) == 0
    assert said(capsys) == mine.read_text()
    assert main(["recipe", "show", str(mine), "--resolved"]) == 0
    (tmp_path / "resolved.yaml").write_text(said(capsys))
    assert main(["recipe", "validate", str(mine), str(tmp_path / "resolved.yaml")]) == 0
    assert said(capsys).count("valid") == 2
    assert main(["recipe", "copy", "sasrec", str(mine)]) == 2


def test_validate_tells_the_mistakes_of_all_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["recipe", "show", "sasrec"])
    good = said(capsys)
    (tmp_path / "a.yaml").write_text(good.replace("epochs:", "epoks:"))
    (tmp_path / "b.yaml").write_text(good.replace("amazon-beauty", "amazon-booty"))
    files = [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    said(capsys)
    assert main(["recipe", "validate", *files]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "did you mean 'epochs'" in first
    assert "did you mean 'amazon-beauty'" in second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "sasrek"], "did you mean 'sasrec'"),
        (["run", "sasrec", "stages.0.epochs"], "key=value"),
        (["evaluate", "/nowhere"], "the folder of a run"),
        (["recommend", "/nowhere", "--user", "x"], "the folder of a run"),
        (["recommend", "/nowhere"], "--user RAWID, or --history ITEM,ITEM for a new user"),
        (["export", "/nowhere", "--to", "paper"], "embeddings"),
        (["recipe", "validate"], "Missing argument"),
    ],
)
def test_mistakes_take_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_bad_requests_to_a_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(runs / "one")
    for arguments, message in (
        (["recommend", folder, "--user", "nobody"], "a known user id, got 'nobody'"),
        (["recommend", folder, "--user", "1", "-k", "41"], "the catalogue, got 41"),
        (["compare", folder], "at least two runs"),
        (["run", folder + "/recipe.yaml", "--out", folder], "one that holds a run; try --resume"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_new_users(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A known user's history gives a new one the same list."""
    command = ["recommend", str(runs / "many"), "-k", "4", "--json"]
    assert main([*command, "--user", "3"]) == 0
    known = json.loads(said(capsys))[0]
    history = ",".join(known["history"])
    assert main([*command, "--user", "3", "--history", history, "--history", ""]) == 0
    again, new, nothing = json.loads(said(capsys))
    assert again == known
    assert (new["user"], new["history"]) == (None, known["history"])
    assert [item["id"] for item in new["items"]] == [item["id"] for item in known["items"]]
    assert nothing["history"] == []
    assert main([*command, "--history", "1,nothing"]) == 2
    assert "a known item id, got 'nothing'" in capsys.readouterr().err


def bad_runs(run: Path, folder: Path) -> dict[str, str]:
    """Make runs that cannot be asked, with what must be said of each."""
    for name in ("interrupted", "newer", "broken", "other model"):
        shutil.copytree(run, folder / name)
    (folder / "interrupted" / "metrics.json").unlink()
    metrics = json.loads((run / "metrics.json").read_text())
    (folder / "newer" / "metrics.json").write_text(json.dumps({**metrics, "format": 99}))
    (folder / "broken" / "metrics.json").write_text("{")
    config = json.loads((run / "model" / "config.json").read_text())
    (folder / "other model" / "model" / "config.json").write_text(
        json.dumps({**config, "format": 99})
    )
    return {
        "interrupted": "a finished run, got one that was interrupted; try graphrec run",
        "newer": "expected run format 1, got 99; try graphrec_pt",
        "broken": "metrics.json: expected JSON, got",
        "other model": "config.json: expected the file that was saved, got another",
    }


def test_runs_that_cannot_be_asked(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, message in bad_runs(runs / "one", tmp_path).items():
        folder = str(tmp_path / name)
        commands = [["recommend", folder, "--user", "3"], ["export", folder, "--to", "embeddings"]]
        commands += [["evaluate", folder], ["compare", str(runs / "one"), folder]]
        for command in commands:
            assert main(command) == 2, command
            errors = capsys.readouterr().err
            assert message in errors
            assert len(errors.splitlines()) == 1


def test_scores_that_are_no_numbers(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "one", tmp_path / "odd")
    model = open_run(tmp_path / "odd").model()
    metrics = json.loads((tmp_path / "odd" / "metrics.json").read_text())
    del metrics["files"], metrics["digest"]  # or the other model would be told from them
    (tmp_path / "odd" / "metrics.json").write_text(json.dumps(metrics))
    for value, message in (
        (3.4e38, "topk: expected finite queries, got row 0\n"),
        (float("nan"), "backbone.norm.weight: expected finite weights, got NaN or ∞; try another"),
    ):
        with torch.no_grad():
            model.backbone.norm.weight.fill_(value)
        model.save_pretrained(tmp_path / "odd" / "model")
        assert main(["recommend", str(tmp_path / "odd"), "--user", "3"]) == 2
        assert message in capsys.readouterr().err


AT_STEP_5 = """
import os, sys
from graphrec_pt.cli import main
from graphrec_pt.training import stage_run
number, steps = int(sys.argv[1]), []
taken = stage_run.OptimizerLoop.step
def step(*given):
    steps.append(1)
    if len(steps) == 5:
        os.kill(os.getpid(), number)
    return taken(*given)
stage_run.OptimizerLoop.step = step
sys.exit(main(sys.argv[2:]))
"""
"""A command that gets a signal in the middle of its fifth step, however busy the machine is."""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_is_interrupted_goes_on(name: str, raw: Path, tmp_path: Path) -> None:
    """The step is taken and saved, one line says how to go on, and the command in it does."""
    out, number = tmp_path / "a run", signal.Signals[name]
    command = ["run", "sasrec", *SMALL, "stages.0.batch=8", "stages.0.epochs=2"]
    command += ["--raw", str(raw), "--out", str(out)]
    child = subprocess.run(
        [sys.executable, "-c", AT_STEP_5, str(int(number)), *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 128 + number, child.stderr
    last = child.stderr.strip().splitlines()[-1]
    again = "interrupted; go on with: graphrec "
    assert last.startswith(again)
    assert not (out / "metrics.json").exists()
    assert [path.name for path in (out / "checkpoint").iterdir()] == ["step-00000005"]
    assert main(shlex.split(last.removeprefix(again))) == 0
    told = [row for row in read_metrics(out) if "valid/ndcg@10" in row]
    assert [row["epoch"] for row in told] == [1, 2]


def test_the_hint_to_go_on_can_be_pasted(raw: Path, tmp_path: Path) -> None:
    """A folder with a space is quoted, and the raw folder needs no telling again."""
    out, files = tmp_path / "my runs" / "one", tmp_path / "my files"
    shutil.copytree(raw, files)
    assert run(files, out, "stages.0.steps=2") == 0
    (out / "metrics.json").unlink()
    with pytest.raises(GraphRecError, match="one that was interrupted") as caught:
        open_run(out)
    words = shlex.split(str(caught.value).partition("; try ")[2])
    assert words == ["graphrec", "run", str(out / "recipe.yaml"), "--out", str(out), "--resume"]
    assert main(words[1:]) == 0
    assert (out / "metrics.json").exists()


@pytest.mark.parametrize("items", [5, 10])
def test_a_cut_off_beyond_the_catalogue_is_told_before_training(
    items: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "raw"
    files.mkdir()
    rows = [f"u{u},i{(u + t) % items},{t}" for u in range(12) for t in range(4)]
    (files / "interactions.csv").write_text("user,item,time\n" + "\n".join(rows) + "\n")
    small = ["data.card=tables", "stages.0.steps=2"]
    assert run(files, tmp_path / "out", *small) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"evaluate.metrics: expected cut-offs within the catalogue of {items} ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    hint = said.partition("; try `")[2].rstrip("`").split()
    assert run(files, tmp_path / "out", *small, *hint) == 0
