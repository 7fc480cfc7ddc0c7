"""The size and shape of the source: files, lines, imports, circles, untyped places.

Usage: python benchmarks/house.py [PACKAGE] [--json]

Everything is read from the source as text, so another checkout can be measured by its path:
``python benchmarks/house.py ../older/graphrec_pt``.
"""

import argparse
import ast
import io
import json
import re
import tokenize
from collections import Counter
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[1] / "graphrec_pt"


def main() -> None:
    """Print the measures of a package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE)
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    figures = measures(chosen.package)
    if chosen.json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        print(f"{name:<44} {value}")


def measures(package: Path) -> dict[str, float | int | str]:
    """Return the measures of a package's source, by what they are called."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in sources.items()}
    lengths = {path: len(text.splitlines()) for path, text in sources.items()}
    kinds = sum((_kinds_of_lines(text, trees[path]) for path, text in sources.items()), Counter())
    lines = sum(lengths.values())
    longest = max(lengths, key=lambda path: lengths[path])
    arrows = _arrows(package, trees)
    text = "\n".join(sources.values())
    return {
        "files": len(sources),
        "lines": lines,
        "lines of code": kinds["code"],
        "share of import lines (%)": round(100 * kinds["import"] / lines, 1),
        "share of documentation lines (%)": round(100 * kinds["doc"] / lines, 1),
        "median file (lines)": median(lengths.values()),
        "longest file (lines)": f"{lengths[longest]} ({longest.relative_to(package)})",
        "files under 50 lines": sum(length < 50 for length in lengths.values()),
        "files that one other file imports": _single_use(arrows),
        "pairs of files that import each other": len(_pairs(arrows)),
        "fields that mention Any": sum(_untyped_fields(tree) for tree in trees.values()),
        "lines that mention Any": len(re.findall(r"^.*\bAny\b.*$", text, re.MULTILINE)),
        "calls of getattr": sum(_calls(tree, "getattr") for tree in trees.values()),
        "type: ignore": text.count("type: ignore"),
        "mentions of trust_code": text.count("trust_code"),
    }


def _kinds_of_lines(text: str, tree: ast.Module) -> Counter[str]:
    """Return how many lines are code, imports, documentation and comments, or blank."""
    doc, imported, code = set[int](), set[int](), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.Expr) and _is_text(node.value):
            doc |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    skipped = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped | {tokenize.COMMENT}:
            code |= set(range(token.start[0], token.end[0] + 1))
    code -= doc | imported
    whole = len(text.splitlines())
    comments = sum(line.strip().startswith("#") for line in text.splitlines())
    documented = len(doc) + comments
    blank = whole - len(code) - len(imported) - documented
    return Counter({"code": len(code), "import": len(imported), "doc": documented, "blank": blank})


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _arrows(package: Path, trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    """Return the modules of the package that each module imports, by dotted name."""
    names = {_module(package, path): tree for path, tree in trees.items()}
    return {
        name: {
            module
            for node in ast.walk(tree)
            for module in _imported(node)
            if module in names and module != name
        }
        for name, tree in names.items()
    }


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def _module(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _pairs(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    return {
        (min(one, other), max(one, other))
        for one, others in arrows.items()
        for other in others
        if one in arrows.get(other, ())
    }


def _single_use(arrows: dict[str, set[str]]) -> int:
    users = Counter(module for modules in arrows.values() for module in modules)
    return sum(count == 1 for count in users.values())


def _untyped_fields(tree: ast.Module) -> int:
    """Count the fields of classes whose annotation mentions ``Any``, class variables aside."""
    found = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        named = [ast.unparse(d) for d in node.decorator_list] + [ast.unparse(b) for b in node.bases]
        if "Protocol" in named:
            continue
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        texts = [ast.unparse(part.annotation) for part in fields]
        found += sum(bool(re.search(r"\bAny\b", t)) and "ClassVar" not in t for t in texts)
    return found


def _calls(tree: ast.Module, name: str) -> int:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return sum(isinstance(called, ast.Name) and called.id == name for called in calls)


if __name__ == "__main__":
    main()
