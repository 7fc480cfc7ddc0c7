"""The rules of the house: floors, sizes, imports, and nothing run by surprise."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "graphrec_pt"
ORDER = """core kernels graph data sampling tokens features models objectives training predict
           evaluation recipe serve testing cli"""
FLOORS = {name: floor for floor, name in enumerate(ORDER.split())}
LONGEST = 400  # lines of any file
SOURCES = sorted(PACKAGE.rglob("*.py"))


def modules_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("graphrec_pt.")}


def floor_of(module: str) -> int:
    parts = module.split(".")
    return FLOORS.get(parts[1], -1) if len(parts) > 1 else -1


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_run_downwards(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if path in (PACKAGE / "__init__.py", PACKAGE / "__main__.py"):
        return  # the front doors: one names every floor and imports none, one is the command line
    own = floor_of(module)
    assert own >= 0, f"{module} stands on no floor"
    higher = {name for name in modules_imported(path) if floor_of(name) > own}
    assert not higher, f"{module} (floor {own}) imports {higher}"


def test_the_floor_test_sees_an_upward_import(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from graphrec_pt.graph.graph import Graph\n")
    assert {floor_of(name) for name in modules_imported(wrong)} == {FLOORS["graph"]}


def code_that_runs_data(source: str) -> set[str]:
    """Return what a source uses of modules and functions that run what they read."""
    used = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add(str(node.module))
        elif isinstance(node, ast.Call):
            used.add(ast.unparse(node.func))
    return used & {"pickle", "marshal", "shelve", "dill", "eval", "exec", "torch.load"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_nothing_runs_what_it_reads(path: Path) -> None:
    in_memory = path == PACKAGE / "testing" / "configs.py"  # as SECURITY.md says
    assert code_that_runs_data(path.read_text()) == ({"pickle"} if in_memory else set())


def test_the_test_of_what_runs_sees_each_way() -> None:
    source = (
        "import pickle\nfrom marshal import loads\neval('1')\ntorch.load(path)\nast.literal_eval(x)"
    )
    assert code_that_runs_data(source) == {"pickle", "marshal", "eval", "torch.load"}


def imports_between(files: Mapping[str, str]) -> dict[str, set[str]]:
    """Return which modules each module imports, also inside functions and under TYPE_CHECKING.

    Args:
        files: Dotted name of each module → its source.
    """
    found: dict[str, set[str]] = {}
    for module, source in files.items():
        names = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        # A name is a module of its own or stands in one.
        homes = {name if name in files else name.rpartition(".")[0] for name in names}
        found[module] = {home for home in homes if home in files and home != module}
    return found


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by way of others."""
    reached = {module: set(others) for module, others in imports.items()}
    grew = True
    while grew:
        grew = False
        for others in reached.values():
            more = set().union(*(reached[other] for other in others)) - others
            others |= more
            grew |= bool(more)
    groups = {
        tuple(sorted({module} | {o for o in others if module in reached[o]}))
        for module, others in reached.items()
        if module in others
    }
    return sorted(list(group) for group in groups)


def test_no_files_import_each_other() -> None:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): (
            path.read_text()
        )
        for path in SOURCES
        if path != PACKAGE / "__init__.py"  # names every floor, and loads what it is asked for
    }
    assert circles(imports_between(files)) == []


def test_the_circle_test_sees_planted_circles() -> None:
    files = {
        "p.a": "def f():\n    from p.b import g\n",
        "p.b": "if TYPE_CHECKING:\n    from p.c import C\n",
        "p.c": "import p.a\n",
        "p.d": "from p import a\n",
        "p.e": "from p.d import f\nfrom p.e import own\n",
    }
    assert circles(imports_between(files)) == [["p.a", "p.b", "p.c"]]
    files["p.c"] = "import os\n"
    assert circles(imports_between(files)) == []


def configs() -> Iterator[type[Any]]:
    """Yield every pydantic model and registered dataclass of the library."""
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "triton" in parts or path.name == "__main__.py":
            continue  # need a GPU's libraries, and hold no configs
        module = import_module(".".join(parts).removesuffix(".__init__"))
        for value in vars(module).values():
            ours = isinstance(value, type) and value.__module__ == module.__name__
            if ours and (issubclass(value, BaseModel) or hasattr(value, "__pydantic_fields__")):
                yield value


def holds_any(annotation: object) -> bool:
    """Return whether Any stands anywhere inside the type of a field."""
    return annotation is Any or any(map(holds_any, get_args(annotation)))


def test_no_config_field_is_any() -> None:
    found = list(configs())
    assert len(found) > 150
    fields = {
        f"{cls.__name__}.{name}": hint
        for cls in found
        for name, hint in get_type_hints(cls, include_extras=True).items()
        if name in cls.__pydantic_fields__
    }
    assert len(fields) > 600
    assert [name for name, hint in fields.items() if holds_any(hint)] == []


def test_the_field_test_sees_any() -> None:
    class Loose(BaseModel):
        inner: tuple[dict[str, Any], ...] | None = None

    assert holds_any(get_type_hints(Loose)["inner"])
    assert not holds_any(dict[str, list[int] | None])


def test_no_file_is_over_the_limit() -> None:
    everything = [*SOURCES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    sizes = {path: len(path.read_text().splitlines()) for path in everything}
    assert {str(p): n for p, n in sizes.items() if n > LONGEST} == {}


BODIES = {"numba", "torch", "triton"}
ELSEWHERE = {"recipe", "cli", "testing"}  # whole runs, commands and public checks are tested
NO_MIRROR = ROOT / "tests" / "untested_by_name.txt"


def listed_modules(text: str) -> set[str]:
    """Return the modules of a list: ``package: module module …``, lines may go on indented."""
    joined = text.replace("\n    ", " ")
    parts = (line.partition(":") for line in joined.splitlines())
    return {f"{package}/{name}" for package, _, names in parts for name in names.split()}


def mirror(path: Path) -> Path:
    """Return where the test of a module stands: the same folder, ``test_`` before its name.

    The bodies of a kernel are tested together, in the test of their front.
    """
    parts = [part for part in path.relative_to(PACKAGE).parts if part not in BODIES]
    return ROOT.joinpath("tests", *parts[:-1], f"test_{parts[-1]}")


def test_modules_have_their_test_by_name() -> None:
    """The list of exceptions may only shrink: a new module comes with a test of its name."""
    missing = {
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in SOURCES
        if not path.name.startswith("__") and not mirror(path).exists()
    }
    missing = {
        name
        for name in missing
        if name.split("/")[0] not in ELSEWHERE
        and not name.startswith("serve/report")
        and not BODIES & set(name.split("/"))
    }
    assert missing <= listed_modules(NO_MIRROR.read_text(encoding="utf-8"))


def test_yaml_folders_hold_no_python() -> None:
    for folder in ("datasets", "recipes"):
        assert not list((ROOT / folder).rglob("*.py"))


def test_names_say_what_they_are() -> None:
    vague = {"utils", "helpers", "common", "manager", "misc"}
    assert not [p for p in SOURCES if p.stem in vague or vague & set(p.parts)]


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_transformers_imports_from_the_repository_root() -> None:
    # A package named `datasets` here would shadow the Hugging Face one and break the Trainer.
    assert run("import transformers; print(transformers.TrainingArguments.__name__)") == (
        "TrainingArguments"
    )


def test_import_is_lazy() -> None:
    code = "import sys, graphrec_pt; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = set(run(code).split())
    heavy = {"torch", "transformers", "torch_geometric", "dgl", "matplotlib", "numba", "polars"}
    assert not heavy & loaded


def test_help_is_lazy() -> None:
    code = "import sys, graphrec_pt.cli; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    heavy = {"torch", "numpy", "polars", "pyarrow", "pydantic", "fastapi", "optuna"}
    assert not heavy & set(run(code).split())


def test_import_costs_little_beyond_torch() -> None:
    # Measured inside one process, torch first: what is left is ours. The bound is generous
    # because the lazy front door costs about a millisecond; it catches an eager import.
    code = (
        "import torch, time; t = time.process_time(); import graphrec_pt; "
        "print(time.process_time() - t)"
    )
    assert float(run(code)) < 0.3


def test_every_public_name_loads() -> None:
    import graphrec_pt

    for name in graphrec_pt.__all__:
        assert getattr(graphrec_pt, name).__doc__, name
    assert set(graphrec_pt.__all__) <= set(dir(graphrec_pt))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = graphrec_pt.nothing_like_this
