"""Code outside the library: refused with its name, run with ``--trust-code``, found again later."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from graphrec_pt.cli import main
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.sampling.sampler import sampler

CODE = '''
from pathlib import Path

from graphrec_pt import sampler
from graphrec_pt.sampling.history import HistorySampler

Path("ran").touch()


@sampler("my_latest")
class Latest:
    """The latest events of a history."""

    window: int = 5

    def sample(self, graph, roots, key, exclude=None):
        return HistorySampler(window=self.window).sample(graph, roots, key, exclude)
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module and a recipe that names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_code.py").write_text(CODE)
    content = load_recipe("sasrec", ["model.backbone.width=16", "stages.0.steps=1"]).resolved()
    content["stages"][0]["sampler"] = {"name": "my_code.Latest", "window": 4}
    content["evaluate"]["baselines"] = ["popularity"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    yield tmp_path
    forget()


def forget() -> None:
    """Be as a new process, which has not imported the module."""
    sys.modules.pop("my_code", None)
    for name in ("my_latest", "my_code.Latest"):
        sampler._members.pop(name, None)


def test_code_is_run_only_when_it_is_trusted(
    here: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        ["recipe", "validate", "mine.yaml"],
        ["recipe", "show", "mine.yaml", "--resolved"],
        ["run", "mine.yaml", "--raw", str(raw), "--out", "run"],
        ["evaluate", "run"],
        ["recommend", "run", "--user", "3"],
        ["recommend", "run", "--history", "3,5"],
        ["compare", "run", "run"],
        ["export", "run", "--to", "embeddings"],
    ]
    for command in commands:
        forget()
        (here / "ran").unlink(missing_ok=True)
        assert main(command) == 2
        errors = capsys.readouterr().err
        assert "'my_code.Latest', which would run code; try trust_code=True" in errors
        assert len(errors.splitlines()) == 1
        assert not (here / "ran").exists()
        assert main([*command, "--trust-code"]) == 0, capsys.readouterr().err
        assert (here / "ran").exists()
        capsys.readouterr()
    assert str(here) not in sys.path
    assert "my_code.Latest" in (here / "run" / "recipe.yaml").read_text()


def test_what_cannot_be_imported_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "my_code.py").unlink()
    assert main(["recipe", "validate", "mine.yaml", "--trust-code"]) == 2
    errors = capsys.readouterr().err
    assert "an importable dotted path, got 'my_code.Latest'" in errors
    assert len(errors.splitlines()) == 1
