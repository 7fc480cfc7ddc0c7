"""The site tells the truth: the code of its pages runs, and every family has its page."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from graphrec_pt.cli import main
from graphrec_pt.recipe.families import FAMILIES

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = {"shop.md": "its own test runs it"}
"""Pages whose code another test runs."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and code of the fenced blocks that are to be run."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [(language, code) for language, code in found if language in ("python", "sh")]


PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if blocks(page) and page.relative_to(DOCS).as_posix() not in ELSEWHERE
]


@pytest.fixture
def story() -> Iterator[ModuleType]:
    """Give a module in which the blocks of a page run one after another."""
    module = ModuleType("docs_page")
    sys.modules["docs_page"] = module
    yield module
    del sys.modules["docs_page"]


@pytest.mark.usefixtures("own_components")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_code_of_a_page_runs(
    page: Path, story: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec", dont_inherit=True), vars(story))
            continue
        for line in filter(None, code.splitlines()):
            words = shlex.split(line, comments=True)
            if words:
                assert words[0] == "graphrec", f"{page.name}: {line!r} is not run; use ```console"
                assert main(words[1:]) == 0, line


def test_every_family_has_a_page_that_checks_a_member() -> None:
    for family in FAMILIES:
        page = DOCS / "extend" / f"{family.replace(' ', '_')}.md"
        assert page.is_file(), f"write docs/extend/{page.name}"
        code = "".join(text for _, text in blocks(page))
        assert f"@{family.replace(' ', '_')}(" in code
        assert "check_" in code or "assert " in code


def test_no_page_counts_the_members_of_a_family() -> None:
    # Such counts are wrong as soon as a member is added; `graphrec ls` counts.
    numbers = "[0-9]+|ten|eleven|twelve|[a-z]+teen|(?:twenty|thirty|forty|fifty|sixty)[a-z-]*"
    family = "|".join(name.replace("_", " ") for name in FAMILIES)
    counted = re.compile(rf"\b(?:{numbers}) (?:more )?(?:{family})s\b", re.IGNORECASE)
    root = DOCS.parent
    pages = [*DOCS.rglob("*.md"), root / "README.md", root / "CHANGELOG.md"]
    counts = {page.name: counted.findall(page.read_text("utf-8")) for page in pages}
    assert not {name: texts for name, texts in counts.items() if texts}
    assert counted.search("Thirty-five objectives")  # the rule finds what it is for
