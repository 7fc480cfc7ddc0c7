"""Every Triton kernel compiles for CUDA, whatever machine this is."""

import ast
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "graphrec_pt" / "kernels" / "triton"

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


@pytest.fixture(scope="module")
def launches(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What became of every launch: case, kernel, error."""
    surroundings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    surroundings["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("compiled"))
    script = HERE / "compile_triton.py"
    done = subprocess.run(
        [sys.executable, script], env=surroundings, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def launched() -> set[str]:
    """Return the names of all kernels that the bodies launch: ``name[grid](…)``."""
    return {
        node.func.value.id
        for file in KERNELS.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Subscript)
        and isinstance(node.func.value, ast.Name)
    }


def test_no_launch_fails_to_compile(launches: list[dict[str, str]]) -> None:
    wrong = [f"{each['case']}: {each['kernel']}\n{each['error']}" for each in launches]
    wrong = [told for told, each in zip(wrong, launches, strict=True) if each["error"]]
    assert not wrong, "\n\n".join(wrong)


def test_every_kernel_is_compiled(launches: list[dict[str, str]]) -> None:
    assert {each["kernel"] for each in launches} == launched()
