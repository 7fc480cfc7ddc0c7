"""``strategy=`` on the command line: which pre-training is meant, and where the run goes."""

import json
from pathlib import Path

import pytest

from graphrec_pt.cli import main
from graphrec_pt.training.tracking import read_metrics

SMALL = [
    "model.backbone.width=16",
    "model.backbone.layers=1",
    "evaluate.baselines=[popularity]",
    "evaluate.scratch=false",
    "options.cpu=true",
    *(f"stages.{n}.{option}" for n in (0, 1) for option in ("steps=1", "batch=16")),
]


@pytest.fixture(scope="module")
def here(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which s3rec has run."""
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "s3rec", *SMALL, "--raw", str(raw)]) == 0
    return folder


def stages(folder: Path) -> set[str]:
    return {line["stage"] for line in read_metrics(folder)}


def test_the_name_of_a_recipe_that_ran(
    here: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    command = ["run", "s3rec", *SMALL, "strategy=prompt_tune", "--raw", str(raw)]
    assert main(command) == 0
    assert "saved in runs/s3rec-prompt_tune" in capsys.readouterr().out
    assert stages(Path("runs/s3rec-prompt_tune")) == {"finetune"}
    assert main(command) == 2
    assert "one that holds a run; try --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert main([*command, "--out", "runs/s3rec"]) == 2
    errors = capsys.readouterr().err.splitlines()[-1]
    assert errors.endswith("got its own; try --out runs/s3rec-prompt_tune")


def test_the_folder_of_a_run(
    here: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = here / "runs" / "s3rec"
    for number, (named, wanted) in enumerate(
        (
            (run, ["strategy={name: prompt_tune, prompt: {name: prefix, size: 2}}"]),
            (run / "recipe.yaml", ["strategy=prompt_tune", "strategy.prompt.name=prefix"]),
        )
    ):
        out = tmp_path / str(number)
        assert main(["run", str(named), *wanted, "--raw", str(raw), "--out", str(out)]) == 0
        assert stages(out) == {"finetune"}
        assert json.loads((out / "metrics.json").read_text())["pretrained"] == str(run)
    assert "prefix" in (out / "recipe.yaml").read_text()


def test_without_a_finished_one_it_is_trained(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "s3rec", *SMALL, "strategy=finetune_part", "--raw", str(raw)]) == 0
    assert stages(tmp_path / "runs" / "s3rec-finetune_part") == {"pretrain", "finetune"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stages.0.batch=8", "strategy=prompt_tune"], "batch: expected 16 as in the pre-training"),
        (["strategy=promt_tune"], "did you mean 'prompt_tune'"),
        (["strategy={name: prompt_tune, promt: x}"], "did you mean 'prompt'"),
        (["strategy"], "key=value"),
        (["strategy="], "a name, a mapping or a ready object"),
    ],
)
def test_mistakes_take_one_line(
    arguments: list[str],
    message: str,
    here: Path,
    raw: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["run", str(here / "runs" / "s3rec"), *arguments, "--raw", str(raw)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()
