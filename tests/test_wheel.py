"""The wheel holds everything that an installed library needs, and nothing else."""

import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    pytest.importorskip("hatchling")
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    builder = WheelBuilder(str(ROOT))
    return ZipFile(next(builder.build(directory=str(folder), versions=["standard"])))


def test_it_holds_the_package_with_cards_recipes_and_templates(wheel: ZipFile) -> None:
    names = set(wheel.namelist())
    for path in (ROOT / "graphrec_pt").rglob("*"):
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names
    for folder in ("datasets", "recipes"):
        for path in (ROOT / folder).glob("*.yaml"):
            assert f"graphrec_pt/_data/{folder}/{path.name}" in names
    assert "graphrec_pt/cli/plugin_template/component.txt" in names
    assert "graphrec_pt/py.typed" in names


def test_it_holds_nothing_else(wheel: ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"graphrec_pt", f"graphrec_pt-{PROJECT['version']}.dist-info"}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".nbi", ".nbc"))]


def test_metadata_and_the_command(wheel: ZipFile) -> None:
    info = f"graphrec_pt-{PROJECT['version']}.dist-info"
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "Name: graphrec-pt" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "graphrec = graphrec_pt.cli:main" in points
    for extra in PROJECT["optional-dependencies"]:
        assert f"Provides-Extra: {extra}" in metadata


def test_the_documents_of_a_project_are_here() -> None:
    for name in ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "SECURITY.md"):
        assert (ROOT / name).is_file(), name
    assert (ROOT / "README.md").stat().st_size <= 15_000
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    for template in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(template.read_text())
