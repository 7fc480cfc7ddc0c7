"""Ranking quality of the flagship, of its from-scratch control, and of its parts.

Usage: python benchmarks/quality.py [ROW …] --raw DIR [--seeds 0 1 2] [--runs DIR] [--set KEY=VALUE]
       python benchmarks/quality.py --collect [--runs DIR] [--out FILE.json]

DIR holds the raw files of each data set in a folder of its own (``beauty``, ``yelp``, ``ml1m``).
Every row and seed is a run of its own in ``RUNS/ROW/SEED``; one that is there already is not
repeated, so rows can be spread over machines, nor is a pre-training that another row has finished
there with the same seed. ``--collect`` puts what is there into one table; rows of FILE without
runs there stay. Without a ROW all are run. Full ranking, seen items left out; `test` reads links of
training edges alone, `history_graph` those of training and validation edges; models are chosen on
validation.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.intervals import Comparison, compare
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import METRICS, Run, open_run
from graphrec_pt.recipe.pretrained import RECORD
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.recipe.train import stages_of, steps_with
from graphrec_pt.serve.report.write import write_report
from graphrec_pt.training.strategy import strategy

OUT = Path(__file__).parent / "results" / "quality.json"
METRIC = "ndcg@10"
KNOWN = "also_bought, also_viewed, bought_together, same_as, has_brand, in_category"
DATA: dict[str, tuple[str, ...]] = {
    "beauty": (f"data.without=[{KNOWN}]",),
    "beauty, brands and categories": (),
    "beauty, knowledge graph": ("data.without=[]",),
    "yelp": ("data.card=yelp-sequences",),
    "ml1m": ("data.card=movielens-1m-kg", "data.split={name: fixed}"),
}
SETS = ("beauty", "yelp", "ml1m")
"""Keys of DATA that also have rows with a tenth of the users."""
FEW = ("stages.1.share=0.1", "stages.1.steps=200")
KEPT = "stages.1.strategy.frozen=['model.features.*']"
"""Vectors of items stay as they were pre-trained; a model from scratch has none to keep."""
PARTS: dict[str, tuple[str, ...]] = {
    "no co-occurrence prior": ("stages.1.objectives.0.cooccurrence=null",),
    "no content": ("model.features.by_type={item: [id]}",),
    "attributes for content": (
        "model.features.by_type={item: [id, {name: linked, relations: [has_attribute]}]}",
    ),
    "words for content": (
        "model.features.by_type={item: [id, {name: static_text, columns: [keywords]}]}",
    ),
    "prior from what came after alone": (
        "stages.1.objectives.0.cooccurrence.channels=[{links: after}, {links: after, decay: 0.3}]",
    ),
    "prior without content and far links": (
        "stages.1.objectives.0.cooccurrence.channels=[{links: after}, {links: after, decay: 0.3},"
        " {links: before}, {links: together}, {links: together, decay: 0.97}]",
    ),
    "propagation": ("model.features.propagation={name: transition, hops: 1}",),
    "attention bias": ("stages.1.sampler.edges=true", "model.backbone.relations=16"),
    "width 128": ("model.backbone.width=128",),
    "one negative": (
        "stages.1.objectives.0.cooccurrence=null",
        "stages.1.objectives.0.candidates.how=bce",
    ),
    "no walks": ("stages.0.steps=1", "budget=601"),
}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        data: Key of DATA; its first word is the name of the folder of raw files.
        options: Changes to the recipe.
        scratch: Without pre-training, with its steps in the last stage.
    """

    data: str
    options: tuple[str, ...] = ()
    scratch: bool = False

    def recipe(self, seed: int, changes: list[str]) -> Recipe:
        """Return what is run, with its pre-training even if it is `scratch`."""
        fixed = ("evaluate.scratch=false", f"seeds=[{seed}]")
        return load_recipe("flagship", [*DATA[self.data], *self.options, *fixed, *changes])


ROWS: dict[str, Row] = {
    **{f"flagship {data}": Row(data) for data in DATA},
    **{f"scratch {data}": Row(data, scratch=True) for data in DATA},
    **{f"flagship {data}, a tenth of the users": Row(data, (*FEW, KEPT)) for data in SETS},
    **{f"scratch {data}, a tenth of the users": Row(data, FEW, scratch=True) for data in SETS},
    **{f"part: {name}": Row("beauty", options) for name, options in PARTS.items()},
    "part: all weights with a tenth of the users": Row("beauty", FEW),
    "part: vectors kept": Row("beauty", (KEPT,)),
}


def alone(recipe: Recipe, graph: Graph) -> Recipe:
    """Return a recipe without its pre-training, whose steps its last stage takes too."""
    train, seed = split_of(recipe.data, graph).train, recipe.seeds[0]
    steps = sum(steps_with(stage, train, seed) for stage in stages_of(recipe, train, seed))
    whole = {"steps": steps, "most_epochs": None, "strategy": strategy.build("pretrain")}
    return recipe.model_copy(update={"stages": (recipe.stages[-1].model_copy(update=whole),)})


def pretrained_alike(recipe: Recipe, runs: Path) -> Path | None:
    """Return a run that holds the pre-training of a recipe, if there is one."""
    for record in sorted(runs.glob(f"*/*/{RECORD}")):
        if _pretraining(load_recipe(record.parent)) == _pretraining(recipe):
            return record.parent
    return None


def _pretraining(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.data, recipe.model, recipe.stages[:-1], recipe.options, recipe.seeds


def collected(runs: Path) -> list[dict[str, Any]]:
    """Return a line for every row that has runs, by the order of ROWS."""
    lines = []
    for name in ROWS:
        done = _runs_of(runs, name)
        if not done:
            continue
        told = [run.metrics for run in done.values()]
        line: dict[str, Any] = {"row": name, "seeds": sorted(done)}
        for column in ("test", "history_graph"):
            for metric in (METRIC, "hr@10"):
                values = [each[column][metric] for each in told if each.get(column)]
                line[f"{column} {metric}"] = mean(values) if values else None
                line[f"{column} {metric} sd"] = stdev(values) if len(values) > 1 else None
        line["baselines"] = {n: each[METRIC] for n, each in told[0]["baselines"].items()}
        line["device"] = ", ".join(sorted({str(each.get("device")) for each in told}))
        line["seconds"] = mean(each["seconds"] for each in told)
        twin = _runs_of(runs, name.replace("flagship", "scratch"))
        shared = sorted(done.keys() & twin.keys()) if name.startswith("flagship") else []
        alike = {seed: _tested([done[seed]], [twin[seed]]) for seed in shared}
        line["beside the twin"] = [
            {"seed": seed, "difference": found.difference, "p": found.p_t}
            for seed, found in alike.items()
        ]
        mine, others = ([runs[seed] for seed in shared] for runs in (done, twin))
        line["p over seeds"] = _tested(mine, others).p_t if shared else None
        lines.append(line)
    return lines


def _runs_of(runs: Path, name: str) -> dict[int, Run]:
    folders = (runs / name).glob("*") if (runs / name).is_dir() else ()
    return {int(f.name): open_run(f) for f in folders if (f / METRICS).exists()}


def _tested(ours: Sequence[Run], theirs: Sequence[Run]) -> Comparison:
    """Return how two systems differ, user by user as means over seeds."""
    mine, others = ([run.outcomes["test"] for run in runs] for runs in (ours, theirs))
    return compare(mine, others, METRIC, Key(0).named("quality"))


def show(lines: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title=f"{METRIC}, full ranking", title_justify="left")
    for column in ("row", "seeds", "train graph", "history graph", "twin", "p", "seconds"):
        table.add_column(column, justify="left" if column == "row" else "right")
    for line in lines:
        cells = []
        for column in ("test", "history_graph"):
            value, sd = line[f"{column} {METRIC}"], line[f"{column} {METRIC} sd"]
            cells.append("" if value is None else f"{value:.4f}" + (f" ± {sd:.4f}" if sd else ""))
        beside = line["beside the twin"]
        gain = f"{mean(each['difference'] for each in beside):+.4f}" if beside else ""
        p = f"{line['p over seeds']:.3g}" if line.get("p over seeds") is not None else ""
        seeds = str(len(line["seeds"]))
        table.add_row(line["row"], seeds, *cells, gain, p, f"{line['seconds']:.0f}")
    Console(width=140).print(table)


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Draw the rows of Beauty and the baselines: bars, and dots for the history graph."""
    from matplotlib.figure import Figure

    bars: dict[str, float] = {}
    dots: dict[str, float] = {}
    for line in lines:
        row = line["row"]
        if "beauty" in row or row.startswith("part"):
            bars |= {**line["baselines"], row: line[f"test {METRIC}"]}
            if line[f"history_graph {METRIC}"] is not None:
                dots[row] = line[f"history_graph {METRIC}"]
    names = sorted(bars, key=lambda name: bars[name])
    figure = Figure(figsize=(8, 0.28 * len(names) + 1), layout="constrained")
    axes = figure.add_subplot()
    colors = ["#c2562c" if "flagship" in name else "#9aa5b1" for name in names]
    drawn = axes.barh(names, [bars[name] for name in names], color=colors)
    labels = [f"{bars[n]:.4f}" + (f" · {dots[n]:.4f}" if n in dots else "") for n in names]
    axes.bar_label(drawn, labels, label_type="center", fontsize=8)
    axes.plot(list(dots.values()), list(dots), "o", color="#20252b", markersize=4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.01)
    title = f"Amazon Beauty, {METRIC}, full ranking: training graph, and ● history graph"
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--raw", type=Path, help="folders of raw files, by name of the data set")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/quality"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--collect", action="store_true", help="make the table of what is there")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file of the table")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - ROWS.keys():
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not arguments.collect:
        if arguments.raw is None:
            parser.error("--raw DIR, the folders of raw files")
        for name in arguments.rows or ROWS:
            for seed in arguments.seeds:
                row, out = ROWS[name], arguments.runs / name / str(seed)
                recipe = row.recipe(seed, arguments.set)
                graph = graph_of(recipe.data, arguments.raw / row.data.split(",")[0])
                recipe = alone(recipe, graph) if row.scratch else recipe
                known = None if row.scratch else pretrained_alike(recipe, arguments.runs)
                given: dict[str, Any] = {"graph": graph, "pretrained": known}
                write_report(run_recipe(recipe, out, **given, resume=True, progress=True))
        return
    found = {line["row"]: line for line in collected(arguments.runs)}
    if arguments.out.exists():
        before = json.loads(arguments.out.read_text())["rows"]
        found = {line["row"]: line for line in before} | found
    lines = [found[name] for name in ROWS if name in found]
    show(lines)
    report = {"metric": METRIC, "rows": lines}
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    draw(lines, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
