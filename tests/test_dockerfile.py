"""The Dockerfile names files, an extra and a command that exist; no image is built here."""

import json
import re
import tomllib
from pathlib import Path

import typer

from graphrec_pt.cli import app

ROOT = Path(__file__).parents[1]
LINES = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text("utf-8")).splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def arguments(instruction: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in LINES if line.startswith(f"{instruction} ")]


def test_what_is_copied_is_there() -> None:
    copied = [part for line in arguments("COPY") for part in line.split()[:-1]]
    files = [part for part in copied if not part.startswith(("--", "${"))]
    assert "graphrec_pt" in files
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_package_and_its_extra() -> None:
    install = next(line for line in arguments("RUN") if line.startswith("pip install"))
    assert "'.[serve]'" in install
    assert {"fastapi", "uvicorn"} <= {
        re.split("[<>=]", each)[0] for each in PROJECT["optional-dependencies"]["serve"]
    }
    image = arguments("FROM")[0]
    version = re.search(r"python:3\.(\d+)", image)
    assert version is not None
    assert PROJECT["requires-python"] == f">=3.{version[1]}"


def test_the_command_has_these_options() -> None:
    name, command, _, *options = json.loads(arguments("CMD")[0])
    assert name in PROJECT["scripts"]
    group = typer.main.get_command(app)
    serve = group.commands[command]  # type: ignore[attr-defined]
    known = {flag for option in serve.params for flag in option.opts}
    assert {option for option in options if option.startswith("--")} <= known
    assert options[options.index("--port") + 1] == arguments("EXPOSE")[0]
    paths = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", "\n".join(LINES))
    assert paths == [(arguments("EXPOSE")[0], "/health")]
