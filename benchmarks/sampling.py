"""Samplers and sparse kernels beside their peers, measured in turn in one process.

Usage: python benchmarks/sampling.py [--quick] [--section NAME …] [--rounds 7] [--out FILE.json]

Every module of `sections` with a function ``rows(settings)`` is a section. Ratios are medians over
rounds of rates measured in the same round; peers that cannot be imported are left out.
"""

import argparse
import json
import os
import platform
import warnings
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import sections
import torch
from rich.console import Console
from rich.table import Table
from sections.measure import Row, Settings

OUT = Path(__file__).parent / "results" / "sampling.json"
COLUMNS = ("op", "graph", "unit", "ours", "peer", "theirs", "ratio", "target", "note")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small graphs, few rounds")
    parser.add_argument("--section", nargs="+", help="only these sections")
    parser.add_argument("--rounds", type=int, help="how often each contestant runs")
    parser.add_argument("--out", type=Path, help=f"JSON file; {OUT.name} for a full run")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # peers deprecate things about themselves
    settings = Settings(arguments.quick, arguments.rounds or (2 if arguments.quick else 7))
    console = Console(width=max(Console().width, 160))
    found: dict[str, list[Row]] = {}
    for name, module in _sections().items():
        if arguments.section and name not in arguments.section:
            continue
        console.print(f"[dim]{name} …[/]")
        found[name] = import_module(module).rows(settings)
        console.print(_table(name, found[name]))
    whole = not arguments.quick and not arguments.section
    out = arguments.out or (OUT if whole else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(_report(found, settings), indent=1, ensure_ascii=False) + "\n")
        console.print(f"written: {out}")


def _sections() -> dict[str, str]:
    names = [module.name for module in iter_modules(sections.__path__)]
    modules = {name: f"sections.{name}" for name in names}
    return {n: m for n, m in modules.items() if hasattr(import_module(m), "rows")}


def _table(title: str, rows: list[Row]) -> Table:
    table = Table(*COLUMNS, title=title)
    for row in rows:
        cells = [_cell(getattr(row, column)) for column in COLUMNS]
        missed = row.target is not None and row.ratio is not None and row.ratio < row.target
        table.add_row(*cells, style="yellow" if missed else None)
    return table


def _cell(value: str | float | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.2f}"


def _report(found: dict[str, list[Row]], settings: Settings) -> dict[str, object]:
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "load": os.getloadavg()[0],
        },
        "settings": asdict(settings),
        "sections": {name: [asdict(row) for row in rows] for name, rows in found.items()},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
