"""``graphrec plugin new``: a package with one component and its test, to start a plug-in from."""

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from graphrec_pt.cli.printing import Terminal
from graphrec_pt.core.errors import GraphRecError

plugin = typer.Typer(no_args_is_help=True, help="Begin a package with components of your own.")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
TEMPLATES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "{package}/__init__.py": "component.txt",
    "tests/test_{package}.py": "test.txt",
}
"""File of the new package → its template."""


@plugin.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package, such as my_parts.")],
    out: Annotated[Path | None, typer.Option(help="A new folder (default: NAME).")] = None,
) -> None:
    """Write a package with one component and a test, which passes."""
    package = name.replace("-", "_")
    if not _NAME.fullmatch(package) or keyword.iskeyword(package) or package == "graphrec_pt":
        got, hint = repr(name), "small letters, digits and _, a letter first: my_parts"
        raise GraphRecError("plugin new", "a name that Python can import", got, hint)
    folder = out or Path(name)
    write_plugin(package, folder)
    console = Terminal()
    console.print(f"written to {folder}", soft_wrap=True)
    for command in (f"cd {folder}", "pip install -e '.[dev]'", "pytest"):
        console.print(f"  {command}", soft_wrap=True, highlight=False)


def write_plugin(package: str, folder: Path) -> None:
    """Write the template package.

    Args:
        package: Name to import it by.
        folder: A new or empty folder.

    Raises:
        GraphRecError: For a folder with something in it.
    """
    from graphrec_pt.core.scratch import finished_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GraphRecError(str(folder), "a new folder", "one with content", "--out another")
    words = {"package": package, "distribution": package.replace("_", "-")}
    source = files("graphrec_pt") / "cli" / "plugin_template"
    with finished_folder(folder) as made:
        for target, template in TEMPLATES.items():
            file = made / target.format(**words)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = (source / template).read_text(encoding="utf-8")
            file.write_text(Template(text).substitute(words), encoding="utf-8")
