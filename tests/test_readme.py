"""The README tells the truth: its code runs. Run this file to write docs/performance.md anew."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from graphrec_pt import build_card, load_card, save_graph

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def expected_figures() -> str:
    """Return the measured ratios as tables, from the result files of the benchmarks."""
    results = ROOT / "benchmarks" / "results"
    sampling = json.loads((results / "sampling.json").read_text())
    build = json.loads((results / "build.json").read_text())
    lines = ["`python benchmarks/sampling.py`", "", "| op | graph | ours | peer | ratio | target |"]
    lines.append("|---|---|---:|---|---:|---:|")
    for rows in sampling["sections"].values():
        for row in rows:
            if row["ratio"] is not None:
                ours, target = _number(row["ours"]), row["target"]
                lines.append(
                    f"| {row['op']} | {row['graph']} | {ours} {row['unit']} | {row['peer']} "
                    f"| {_number(row['ratio'])}× | {f'{target:g}×' if target else ''} |"
                )
    lines += ["", "`python benchmarks/build.py`: raw files to a saved graph", ""]
    lines += ["| interactions | contestant | seconds | peak MB | ours is faster by |"]
    lines += ["|---:|---|---:|---:|---:|"]
    for row in build["rows"]:
        ratio = "" if row["contestant"].startswith("ours") else f"{row['ratio']:.1f}×"
        lines.append(
            f"| {row['interactions']:,} | {row['contestant']} | {row['seconds']:.2f} "
            f"| {row['peak_mb']:,.0f} | {ratio} |"
        )
    return "\n".join([*lines, *_training_figures(results), *_text_figures(results)])


def _text_figures(results: Path) -> list[str]:
    text = json.loads((results / "text.json").read_text())
    lines = ["", "`python benchmarks/text.py`: GPT-2 of width 128 on the same weights", ""]
    lines += [
        "| what | ours | transformers | ours is better by | target |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in text["contest"]:
        ours, theirs = row["ours_tokens_per_second"], row["transformers_tokens_per_second"]
        lines.append(
            f"| {row['what']}, tokens/s | {ours:,.0f} | {theirs:,.0f} "
            f"| {row['ours_is_faster_by']:.2f}× | {row['target']:g}× |"
        )
    for row in text["memory"]:
        lines.append(
            f"| {row['what']}, peak MB | {row['ours_mb']:,.0f} | {row['transformers_mb']:,.0f} "
            f"| {row['ours_is_smaller_by']:.2f}× | {row['target']:g}× |"
        )
    lines += [
        "",
        "Steps of encoding start at step 2,000, where 98 % of the vectors are looked up; ",
    ]
    lines[-1] += (
        "the ten steps end before any is old enough to be encoded anew, which favours the cache."
    )
    lines += ["", "| encoding texts | ms | faster by |", "|---|---:|---:|"]
    lines += [
        f"| {row['what']} | {1000 * row['seconds']:,.0f} | {row['faster']:.1f}× |"
        for row in text["encoding"]
    ]
    return lines


def _training_figures(results: Path) -> list[str]:
    training = json.loads((results / "training.json").read_text())
    evaluation = json.loads((results / "evaluation.json").read_text())
    lines = [
        "",
        "`python benchmarks/training.py`: two layers, d = 64, full-catalogue cross-entropy",
    ]
    lines += ["", "| contestant | targets/s | tokens/s | ours is faster by | target |"]
    lines += ["|---|---:|---:|---:|---:|"]
    for row in training["contest"]:
        faster, target = row.get("ours_is_faster_by"), row.get("target")
        lines.append(
            f"| {row['contestant']} | {row['targets_per_second']:,.0f} "
            f"| {row['tokens_per_second']:,.0f} | {f'{faster:.1f}×' if faster else ''} "
            f"| {f'{target:g}×' if target else ''} |"
        )
    lines += ["", "`python benchmarks/evaluation.py`: full ranking of a catalogue", ""]
    lines += ["| contestant | seconds | peak MB | ours is faster by |", "|---|---:|---:|---:|"]
    for row in evaluation["rows"]:
        ours = row["contestant"].startswith("ours")
        ratio = "" if ours else f"{row['ours_is_faster_by']:.1f}×"
        lines.append(
            f"| {row['contestant']} | {row['seconds']:.2f} | {row['peak_mb']:,.0f} | {ratio} |"
        )
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def section(name: str) -> str:
    page = PERFORMANCE.read_text()
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", page, re.DOTALL)
    assert found, f"{PERFORMANCE.name} has no section {name}"
    return found.group(1).strip()


def test_the_architecture_page_has_a_paragraph_for_each_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "graphrec_pt").glob("*/__init__.py")]
    assert sorted(re.findall(r"^## `(\w+)/`", page, re.MULTILINE)) == sorted(packages)


def test_figures_are_those_of_the_result_files() -> None:
    assert section("measured") == expected_figures(), "run: python tests/test_readme.py"


def _small_movielens(folder: Path) -> Path:
    """Write raw files of the layout of MovieLens-100K with 20 invented users and 30 items."""
    rated = [
        (u, 1 + (7 * u + 3 * k) % 30, 1 + k % 5, 1000 * u + k)
        for u in range(1, 21)
        for k in range(8)
    ]
    flags = {i: "|".join(str(int(f in (i % 19, i % 7))) for f in range(19)) for i in range(1, 31)}
    lines = {
        "u.data": ["\t".join(map(str, row)) for row in rated],
        "u.user": [f"{u}|{18 + u}|{'MF'[u % 2]}|writer|{u:05}" for u in range(1, 21)],
        "u.item": [f"{i}|Film {i}|01-Jan-{1960 + i}|||{flags[i]}" for i in range(1, 31)],
    }
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n", encoding="latin1")
    return folder


@pytest.mark.usefixtures("own_components")
def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = load_card("movielens-100k")
    save_graph(build_card(card, _small_movielens(tmp_path)), "graphs/movielens-100k")
    module = ModuleType("readme")  # where pickle finds its classes
    monkeypatch.setitem(sys.modules, "readme", module)
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert len(blocks) >= 3
    for code in blocks:
        exec(compile(code, "README.md", "exec", dont_inherit=True), vars(module))  # one story


def test_shell_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphrec_pt.cli import main

    monkeypatch.chdir(tmp_path)
    lines = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]
    for line in filter(None, lines):
        words = shlex.split(line, comments=True)
        if words[0] == "graphrec":
            assert main(words[1:]) == 0, line
        elif words[0] == "make":  # running it would start this very suite again
            done = subprocess.run(
                [*words, "--dry-run"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {"MAKEFLAGS": ""},
            )
            assert done.returncode == 0, done.stderr
        else:
            pytest.fail(f"no way to check {line!r}")
    assert (tmp_path / "ann.png").stat().st_size > 10_000


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


if __name__ == "__main__":
    filled = f"<!-- measured -->\n{expected_figures()}\n<!-- /measured -->"
    pattern = r"<!-- measured -->.*?<!-- /measured -->"
    page = re.sub(pattern, lambda _: filled, PERFORMANCE.read_text(), flags=re.DOTALL)
    PERFORMANCE.write_text(page)
