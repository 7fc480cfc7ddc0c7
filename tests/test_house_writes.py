"""Files are written in one way: in a scratch place, then renamed; see core/scratch.py."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "graphrec_pt"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ONE_PLACE = "core/scratch.py"
SAFE = {"finished_file", "finished_folder", "scratch_folder"}
WRITES = {"write_text", "write_bytes", "write_parquet", "write_csv", "write_ipc", "write_json"}
WRITES |= {"write_ndjson", "save_file", "savefig", "savez", "savetxt", "tofile", "to_csv"}
WRITES |= {"to_parquet", "ParquetWriter", "copytree", "copyfile", "copy2", "move", "symlink_to"}
MOVES = {"rename", "replace", "unlink", "rmtree", "renames", "remove", "removedirs"}
INTO_SCRATCH = {
    "data/raw.py": {"local", "utf8"},
    "data/delimited.py": {"_copy_without", "_rewrite"},
    "models/save.py": {"_save_tensors"},
    "tokens/stored.py": {"save"},
    "data/convert/recbole.py": {"_write"},
    "graph/store.py": {"_header"},
}
"""Functions whose callers give them a path inside a scratch folder."""


def calls(
    node: ast.AST, safe: bool = False, function: str = ""
) -> Iterator[tuple[ast.Call, bool, str]]:
    """Yield every call, whether it stands in a block that renames, and in which function."""
    for child in ast.iter_child_nodes(node):
        inside, name = safe, function
        if isinstance(child, ast.FunctionDef):
            name = child.name
        if isinstance(child, ast.With):
            inside = safe or any(called(item.context_expr) in SAFE for item in child.items)
        if isinstance(child, ast.Call):
            yield child, safe, function
        yield from calls(child, inside, name)


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def opens_to_write(call: ast.Call) -> bool:
    if called(call) not in ("open", "fdopen"):
        return False
    texts = [
        a.value
        for a in (*call.args, *(k.value for k in call.keywords))
        if isinstance(a, ast.Constant)
    ]
    return any(
        isinstance(t, str) and set(t) <= set("rwaxbt+") and set(t) & set("wax+") for t in texts
    )


def moves(call: ast.Call) -> bool:
    """Whether a call moves or removes a path; `str.replace` takes two arguments."""
    name = called(call)
    if name not in MOVES or not isinstance(call.func, ast.Attribute):
        return False
    if name == "replace":
        return len(call.args) == 1 and not call.keywords
    if name in ("rename", "remove"):
        return isinstance(call.func.value, ast.Name) and call.func.value.id in (
            "os",
            "path",
            "shutil",
        )
    return True


def wrong(path: Path) -> list[str]:
    module = path.relative_to(PACKAGE).as_posix()
    if module == ONE_PLACE:
        return []
    found = []
    for call, safe, function in calls(ast.parse(path.read_text())):
        own = isinstance(call.func, ast.Name) and called(call) == "write_text"
        numpy = (
            called(call) == "save"
            and isinstance(call.func, ast.Attribute)
            and (isinstance(call.func.value, ast.Name) and call.func.value.id in ("np", "torch"))
        )
        writes = (called(call) in WRITES and not own) or numpy or opens_to_write(call)
        inside = safe or function in INTO_SCRATCH.get(module, ())
        if (writes or moves(call)) and not inside:
            found.append(f"{module}:{call.lineno} {called(call)}")
    return found


def test_every_write_is_renamed_into_place() -> None:
    assert [each for path in SOURCES for each in wrong(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text('x')",
        "path.open('w')",
        "open(path, mode='wb')",
        "np.save(path, array)",
        "table.write_parquet(path)",
        "made.replace(path)",
        "path.unlink()",
    ],
)
def test_the_test_sees_a_write(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "module.py").write_text(f"def f(path, made, table, array, np):\n    {line}\n")
    assert wrong(tmp_path / "module.py")
    inside = f"def f(path):\n    with finished_file(path) as made:\n        {line}\n"
    (tmp_path / "module.py").write_text(inside)
    assert not wrong(tmp_path / "module.py")
