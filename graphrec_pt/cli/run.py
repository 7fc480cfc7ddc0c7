"""``graphrec run``: from a recipe to the folder of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphrec_pt.cli.printing import Terminal, progress, run_log
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError

if TYPE_CHECKING:
    from graphrec_pt.recipe.recipe import Recipe

RUNS = Path("runs")
STRATEGY = "strategy"
"""The option that is not the recipe's but takes another way from its pre-training."""


def run(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe, its YAML file, or the folder of a run.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]…",
            help="Options to change, such as stages.0.epochs=3 or seeds=[0,1]. strategy=NAME "
            "reuses the finished pre-training of a run and adapts it with that strategy. Of every "
            "recipe: options.cpu=true stays on the CPU (else a GPU is used if there is one), "
            "options.precision=bf16 or fp16, options.workers=4 processes that sample, "
            "options.trackers=[tensorboard] (also wandb, mlflow; extra track), "
            "options.compile=true, options.checkpoint_every=500 steps.",
        ),
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Folder of raw files. Default: download them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run (default runs/NAME, or runs/NAME-STRATEGY)."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Take the recipe's quick setting: minutes on two cores."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Build and check everything, print sizes, train nothing."),
    ] = False,
    cache: Annotated[Path, typer.Option(help="Folder for downloaded raw files.")] = Path(
        "~/.cache/graphrec_pt"
    ),
    trust_code: TrustCode = False,
) -> None:
    """Train and evaluate a recipe, and save everything in a folder."""
    from graphrec_pt.cli.tables import run_notes, run_tables
    from graphrec_pt.recipe.begin import will_train
    from graphrec_pt.recipe.data import graph_of
    from graphrec_pt.recipe.files import load_recipe
    from graphrec_pt.recipe.origin import kept_raw
    from graphrec_pt.recipe.run import run_recipe
    from graphrec_pt.recipe.with_strategy import adapting, with_strategy
    from graphrec_pt.serve.report.write import write_report

    with trusted(trust_code):
        wanted, others = _strategy(overrides or [])
        chosen, graph, source = load_recipe(recipe, others, quick=quick), None, None
        if wanted is not None:
            adapting(chosen)
            source = _finished(recipe, chosen)
            out = out or RUNS / f"{chosen.name}-{_name(wanted)}"
            if source is not None and out.resolve() == source.resolve():
                got, hint = "its own", f"--out {source}-{_name(wanted)}"
                raise GraphRecError(f"--out {out}", "another folder than the run's", got, hint)
        out = out or RUNS / chosen.name
        if dry_run:
            _print_dry_run(chosen, wanted, raw, cache)
            return
        raw = raw or (kept_raw(out) if resume else None)
        # A swapped recipe is known when its data is; a folder that is taken is told before.
        if (wanted is not None and resume) or will_train(
            chosen, out, raw=raw, cache=cache, resume=resume
        ):
            with progress() as tell:
                graph = graph_of(chosen.data, raw, cache=cache, tell=tell)
        if wanted is not None:
            assert graph is not None
            chosen = with_strategy(chosen, wanted, graph)
        with run_log():
            given: dict[str, Any] = {
                "raw": raw,
                "cache": cache,
                "graph": graph,
                "pretrained": source,
            }
            done = run_recipe(chosen, out, resume=resume, progress=True, **given)
        console = Terminal()
        for table in run_tables(done):
            console.print(table)
        for note in run_notes(done):
            console.print(note, soft_wrap=True, highlight=False)
        write_report(done)
    console.print(f"saved in {out}, with a report.html to read", soft_wrap=True)


def _print_dry_run(chosen: "Recipe", wanted: Any, raw: Path | None, cache: Path) -> None:
    """Print what a run would do."""
    from graphrec_pt.recipe.data import graph_of
    from graphrec_pt.recipe.dry_run import dry_run
    from graphrec_pt.recipe.with_strategy import with_strategy

    with progress() as tell:
        graph = graph_of(chosen.data, raw, cache=cache, tell=tell)
    if wanted is not None:
        chosen = with_strategy(chosen, wanted, graph)
    plan = dry_run(chosen, graph=graph)
    console = Terminal()
    lines = [
        f"graph: {plan.nodes:,} nodes; {plan.edges:,} stored edges to train on",
        f"targets: {plan.valid:,} for validation, {plan.test:,} for test",
        *(
            f"stage {stage.name}: {stage.strategy}, at most {stage.steps:,} optimiser steps"
            for stage in plan.stages
        ),
        f"model: {plan.parameters:,} weights; {plan.memory / 1e6:,.0f} MB with gradients and "
        "optimiser states, activations on top",
        "Everything fits. Nothing was trained.",
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _strategy(overrides: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the value of ``strategy=`` (None without one) and the other overrides."""
    from graphrec_pt.recipe.files import override_option
    from graphrec_pt.training.strategy import strategy

    found: dict[str, Any] = {}
    others = []
    for override in overrides:
        if override.partition("=")[0].partition(".")[0] == STRATEGY:
            override_option(found, override)
        else:
            others.append(override)
    if STRATEGY not in found:
        return None, others
    strategy.build(found[STRATEGY])  # raises before any data is read
    return found[STRATEGY], others


def _name(wanted: Any) -> str:
    return str(wanted.get("name", STRATEGY) if isinstance(wanted, dict) else wanted)


def _finished(recipe: str, chosen: "Recipe") -> Path | None:
    """Return the folder of the run to adapt: the one that is named, else the default one."""
    from graphrec_pt.recipe.files import OF_RUN
    from graphrec_pt.recipe.pretrained import find_pretrained

    named = Path(recipe)
    if named.name == OF_RUN and find_pretrained(named.parent) is not None:
        return named.parent
    if (named / OF_RUN).is_file():
        return named
    usual = RUNS / chosen.name
    return usual if find_pretrained(usual) is not None else None
