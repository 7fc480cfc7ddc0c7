"""Calls of library functions in Python code, read as text: nothing is imported or run.

What APIRecX (Kang et al., EMNLP 2021) learns from Java projects, for Python and by the standard
library's ``ast``. A call counts where its name leads back to an import: ``np.zeros(…)`` after
``import numpy as np`` is ``numpy.zeros``, and ``graph.add_node(…)`` after ``graph = nx.Graph()``
is ``networkx.Graph.add_node``. Calls of a project's own code do not count.
"""

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import PurePath

import polars as pl
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import empty, reader

LARGEST = 2_000_000
"""Bytes of a file at most; larger ones are data written as code."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCHEMAS: dict[str, dict[str, type[pl.DataType]]] = {
    "calls": {
        "function": pl.String,
        "api": pl.String,
        "place": pl.Int64,
        "project": pl.String,
        "uses": pl.Int64,
    },
    "apis": {
        "api": pl.String,
        "words": pl.String,
        "owner": pl.String,
        "library": pl.String,
        "domain": pl.String,
    },
    "files": {"file": pl.String, "project": pl.String, "problem": pl.String},
}
Place = tuple[int, int]


@reader("python_calls")
class PythonCalls:
    """Python files → the calls of each function, the names that are called, and the files.

    Part ``calls`` has ``function`` (file and line), ``api`` (``numpy.linalg.norm``), ``place``
    (from 0, in the order of the source), ``project`` and ``uses`` (1 where the function calls the
    `library` anywhere); ``apis`` has ``api``, ``words`` (its parts with spaces between), ``owner``
    (the class or module), ``library`` and ``domain`` (``yes`` for the `library`); ``files`` has
    ``file``, ``project`` and ``problem``, null for a file that was read. A project is the highest
    folder that has an ``__init__.py``, or a file that stands alone.

    Args:
        library: The library whose use is to be learned, such as ``numpy``.
        least: Functions that must call a name for it to count.
        shortest: Calls of a function at least.
        tests: Whether files in folders ``tests`` and ``test`` count.
    """

    library: str
    least: int = Field(2, ge=1)
    shortest: int = Field(2, ge=1)
    tests: bool = False

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables named above.

        Raises:
            GraphRecError: When no function of any file has enough calls.
        """
        paths = [PurePath(file.path, *([file.member] if file.member else [])) for file in files]
        base = commonpath([path.parent for path in paths])
        packages = {path.parent for path in paths if path.name == "__init__.py"}
        found: list[tuple[str, str, list[str]]] = []
        rows: list[tuple[str, str, str | None]] = []
        for file, path in zip(files, paths, strict=True):
            module = module_of(path, packages)
            if not self.tests and {"tests", "test"} & {*path.relative_to(base).parts[:-1]}:
                continue
            package = module if path.parent in packages and path.stem == "__init__" else module[:-1]
            where = "/".join([*package, path.name])
            code, problem = _parsed(file)
            rows.append((where, module[0], problem))
            if code is not None:
                for line, calls in calls_of(code, package):
                    other = [name for name in calls if name.split(".")[0] != module[0]]
                    found.append((f"{where}:{line}", module[0], other))
        if not rows and files:
            raise GraphRecError("python_calls", "files outside tests", "none", "tests: true")
        count = Counter(name for _, _, calls in found for name in {*calls})
        sequences = [
            (where, project, [name for name in calls if count[name] >= self.least])
            for where, project, calls in found
        ]
        sequences = [each for each in sequences if len(each[2]) >= self.shortest]
        if not sequences:
            if len(files) == 1 and not files[0].path.stat().st_size:
                raise empty(files[0])
            first = next((f"; {where}: {told}" for where, _, told in rows if told), "")
            got, hint = f"none in {len(rows):,} files{first}", "a folder of packages as --raw"
            raise GraphRecError("python_calls", "functions that call libraries", got, hint)
        called = [
            (where, name, place, project, int(any(self._domain(each) for each in calls)))
            for where, project, calls in sequences
            for place, name in enumerate(calls)
        ]
        names = sorted({name for _, _, calls in sequences for name in calls})
        apis = [
            (
                name,
                name.replace(".", " "),
                name.rpartition(".")[0],
                name.partition(".")[0],
                "yes" if self._domain(name) else "no",
            )
            for name in names
        ]
        tables: dict[str, Sequence[tuple[str | int | None, ...]]]
        tables = {"calls": called, "apis": apis, "files": rows}
        return {
            part: pl.DataFrame(tables[part], schema=schema, orient="row")
            for part, schema in _SCHEMAS.items()
        }

    def _domain(self, name: str) -> bool:
        return name.partition(".")[0] == self.library


def module_of(path: PurePath, packages: set[PurePath]) -> list[str]:
    """Return the dotted parts of a file's module, from the highest folder that is a package."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while folder in packages:
        parts.insert(0, folder.name)
        folder = folder.parent
    return parts or [path.stem]


def _parsed(file: RawFile) -> tuple[ast.Module | None, str | None]:
    """Return the code of a file, or why it has none."""
    with file.open() as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        return None, f"more than {LARGEST:,} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in other people's texts
            return ast.parse(content), None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        return None, f"line {line}: {getattr(error, 'msg', None) or error or type(error).__name__}"


def calls_of(code: ast.Module, package: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    r"""Yield the line and the calls of each function, in the order of the source.

    Args:
        code: A parsed file.
        package: Dotted parts of the package that relative imports start from.

    Example:
        >>> code = ast.parse("import numpy as np\ndef f(x):\n    return np.sum(np.abs(x))")
        >>> list(calls_of(code, ["mine"]))
        [(2, ['numpy.sum', 'numpy.abs'])]
    """
    imported: dict[str, str] = {}
    scopes: list[_Scope] = []
    stack: list[tuple[ast.AST, _Scope | None]] = [(code, None)]
    while stack:
        node, scope = stack.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= _names(node, package)
        elif isinstance(node, _FUNCTIONS):
            scope = _Scope(node.lineno, [], [])
            scopes.append(scope)
        elif scope is not None and isinstance(node, ast.Call):
            scope.calls.append(node.func)
        elif scope is not None and isinstance(node, ast.Assign):
            scope.assigned.extend((each, node.value) for each in node.targets)
        stack += [(child, scope) for child in ast.iter_child_nodes(node)]
    for scope in sorted(scopes, key=lambda each: each.line):
        yield scope.line, scope.names(imported)


@dataclass(frozen=True)
class _Scope:
    """A function.

    Args:
        line: Where it begins.
        calls: What is called, in any order.
        assigned: Targets and values of its assignments.
    """

    line: int
    calls: list[ast.expr]
    assigned: list[tuple[ast.expr, ast.expr]]

    def names(self, imported: dict[str, str]) -> list[str]:
        """Return the names of what is called, as far as imports tell them."""
        objects: dict[str, set[str]] = {}
        for target, value in self.assigned:
            if isinstance(target, ast.Name):
                made = dotted(value.func, imported) if isinstance(value, ast.Call) else None
                is_class = made is not None and made.rpartition(".")[2][:1].isupper()
                objects.setdefault(target.id, set()).add(made if made and is_class else "")
        # A variable stands for a class where all of its values are objects of that one class.
        known = {name: next(iter(kinds)) for name, kinds in objects.items() if len(kinds) == 1}
        known = {**imported, **known}
        ordered = sorted(self.calls, key=lambda func: (func.end_lineno, func.end_col_offset))
        names = (dotted(func, known) for func in ordered)
        return [name for name in names if name is not None and "." in name]


def dotted(func: ast.expr, known: dict[str, str]) -> str | None:
    """Return the full name of ``a.b.c``, None where nobody knows what ``a`` is."""
    parts = []
    while isinstance(func, ast.Attribute):
        parts.append(func.attr)
        func = func.value
    if not isinstance(func, ast.Name) or not known.get(func.id):
        return None
    return ".".join([known[func.id], *reversed(parts)])


def _names(node: ast.Import | ast.ImportFrom, package: Sequence[str]) -> dict[str, str]:
    """Return what an import calls its modules and names, with the full name of each."""
    if isinstance(node, ast.Import):
        whole = {alias.asname: alias.name for alias in node.names if alias.asname}
        tops = (alias.name.partition(".")[0] for alias in node.names if not alias.asname)
        return whole | {top: top for top in tops}
    above = package[: len(package) - node.level + 1] if node.level else ()
    module = ".".join([*above, *([node.module] if node.module else [])])
    return {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
