"""The template of a plug-in: its test passes, its entry point is found, mistakes are told."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from graphrec_pt.cli import main


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin") / "my_parts"
    assert main(["plugin", "new", "my-parts", "--out", str(folder)]) == 0
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_the_tests_of_the_template_pass(package: Path) -> None:
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_an_installed_package_is_found_by_its_entry_point(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["graphrec_pt.plugins"]
    assert points == {"my_parts": "my_parts"}
    installed = package / "my_parts-0.1.0.dist-info"  # what pip would write
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text("[graphrec_pt.plugins]\nmy_parts = my_parts\n")
    command = ["-m", "graphrec_pt", "show", "sampler", "my_parts_there_and_back", "--json"]
    refused = run(package, *command)
    assert refused.returncode == 2
    assert "--trust-code" in refused.stderr
    shown = run(package, *command, "--trust-code")
    assert shown.returncode == 0, shown.stderr
    assert [option["name"] for option in json.loads(shown.stdout)["options"]] == [
        "forth",
        "back",
        "hops",
    ]


@pytest.mark.parametrize("name", ["2parts", "my parts", "class", "graphrec_pt", "../x"])
def test_a_name_that_python_cannot_import_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugin", "new", name, "--out", str(tmp_path / "out")]) == 2
    assert "a name that Python can import" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_content_is_kept(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (package / "README.md").read_text()
    assert main(["plugin", "new", "other", "--out", str(package)]) == 2
    assert "a new folder" in capsys.readouterr().err
    assert (package / "README.md").read_text() == before
