"""The site builds without a warning, shows every member, and asks nothing of the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graphrec_pt import __all__ as public
from graphrec_pt.recipe.families import FAMILIES
from graphrec_pt.recipe.files import recipe_files

ROOT = Path(__file__).parents[1]
ASSET = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(https?:)?//|<link[^>]*\shref=[\"']?(https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_member_and_every_public_name_has_its_place(site: Path) -> None:
    for name, family in FAMILIES.items():
        page = (site / "reference" / f"{name.replace(' ', '_')}.html").read_text()
        for member in family.registry.names():
            if "." in member:  # another test named a class by its dotted path
                continue
            if family.registry.get(member).__module__.startswith("graphrec_pt."):
                assert f'id="{member}"' in page, f"{name} {member}"
    python = (site / "reference" / "python.html").read_text()
    assert [name for name in public if f".{name}" not in python] == []
    recipes = (site / "reference" / "recipes.html").read_text()
    assert all(file.name.removesuffix(".yaml") in recipes for file in recipe_files())


def test_pages_ask_nothing_of_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        assert not ASSET.search(page.read_text(encoding="utf-8")), page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_asset_test_sees_a_font_from_elsewhere() -> None:
    assert ASSET.search('<link rel="stylesheet" href="https://fonts.example/css">')
    assert ASSET.search("<script src=//cdn.example/x.js></script>")
    assert not ASSET.search('<a href="https://example.org">out</a><script src="x.js"></script>')


def test_roles_of_docstrings_are_resolved(site: Path) -> None:
    python = (site / "reference" / "python.html").read_text()
    assert not re.search(r":(class|meth|func):<code>", python)


def test_no_page_is_forgotten_in_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{name}"' in index, name
