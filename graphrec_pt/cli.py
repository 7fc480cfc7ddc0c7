"""The command line: ``graphrec data …``. Mistakes of the user take one line and exit with 2."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from graphrec_pt import __version__
from graphrec_pt.core.errors import GraphRecError

if TYPE_CHECKING:
    from graphrec_pt.graph.graph import Graph

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
data = typer.Typer(no_args_is_help=True, help="Build graphs from raw data and look at them.")
app.add_typer(data, name="data")

BAR_AFTER = 2.0  # seconds before a progress bar appears
INTERRUPTED = 130  # what shells expect after Ctrl-C


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"graphrec_pt {__version__}\n")
        raise typer.Exit


@app.callback()
def graphrec(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version)
    ] = False,
) -> None:
    """Graph-centric pre-training for recommender systems."""


@data.command("ls")
def list_cards(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets that have a card."""
    from graphrec_pt.graph.card import card_files, load_card
    from graphrec_pt.graph.card_table import card_table

    cards = [load_card(file.name.removesuffix(".yaml")) for file in card_files()]
    if as_json:
        _print_json([{"name": c.name, "title": c.title, "expect": c.expect} for c in cards])
    else:
        Console().print(card_table(cards))


@data.command("build")
def build_data(
    name: Annotated[str, typer.Argument(help="Name of a card, or a card's YAML file.")],
    raw: Annotated[
        Path | None, typer.Option(help="Folder of raw files; without it they are downloaded.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the graph (default graphs/NAME).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the permutation of node ids.")] = 0,
    cache: Annotated[Path, typer.Option(help="Where downloaded raw files are kept.")] = Path(
        "~/.cache/graphrec_pt"
    ),
) -> None:
    """Build the graph of a data set and save it."""
    from graphrec_pt.graph.build import build_card
    from graphrec_pt.graph.card import load_card
    from graphrec_pt.graph.describe import describe, render
    from graphrec_pt.graph.fetch import fetch

    card = load_card(name)
    out = out or Path("graphs") / card.name
    with _progress() as tell:
        raw = raw or fetch(card, cache.expanduser() / card.name, tell)
        graph = build_card(card, raw, seed=seed, out=out, progress=tell)
    console = Console()
    console.print(render(describe(graph)))
    console.print(f"saved in {out}", soft_wrap=True)


@data.command("describe")
def describe_data(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A saved graph.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a graph, and what to be careful about."""
    from graphrec_pt.graph.describe import describe, render
    from graphrec_pt.graph.store import open_graph

    found = describe(open_graph(folder))
    if as_json:
        _print_json(found.to_dict())
    else:
        Console().print(render(found))


@data.command("draw")
def draw_data(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A saved graph.")],
    node: Annotated[
        list[str],
        typer.Option(help="The node in the middle, TYPE:RAWID; again for samplers of pairs."),
    ],
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .svg.")],
    hops: Annotated[int, typer.Option(min=1, help="How far to look.")] = 2,
    sampler: Annotated[
        str | None,
        typer.Option(help="Draw what this sampler returns: NAME or '{name: NAME, option: …}'."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler.")] = 0,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Let --sampler name code outside the library.")
    ] = False,
) -> None:
    """Draw the neighbourhood of a node, or what a sampler returns for it."""
    from graphrec_pt.graph.draw import draw_neighborhood, save
    from graphrec_pt.graph.store import open_graph

    graph = open_graph(folder)
    nodes = [_named_node(graph, name) for name in node]
    if sampler is not None:
        from graphrec_pt.sampling.picture import draw_sample

        config = _yaml("--sampler", sampler)
        figure = draw_sample(graph, config, nodes, seed=seed, trust_code=trust_code)
    elif len(nodes) > 1:
        raise GraphRecError("--node", "one node without --sampler", f"{len(nodes)}")
    else:
        figure = draw_neighborhood(graph, nodes[0], hops=hops)
    save(figure, out)
    Console().print(f"drawn in {out}", soft_wrap=True)


def _named_node(graph: "Graph", name: str) -> int:
    kind, colon, raw_id = name.partition(":")
    if not colon:
        raise GraphRecError("--node", "TYPE:RAWID", repr(name), f"{graph.schema.node_names[0]}:…")
    return graph.node_id(kind, raw_id)


def _yaml(option: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GraphRecError(option, "a name or a YAML mapping", repr(text)) from error


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a progress callback; its bar shows on anything that takes over two seconds."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("starting", total=None)

    def tell(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total or None)

    late = Timer(BAR_AFTER, bar.start)
    late.start()
    try:
        yield tell
    finally:
        late.cancel()
        if bar.live.is_started:
            bar.stop()


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 2 the user's mistake, 1 ours."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments  # anywhere: it is added to a command that failed
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status = typer.main.get_command(app).main(arguments, "graphrec", standalone_mode=False)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        return int(status or 0)
    except GraphRecError as error:
        if debug:
            raise
        sys.stderr.write(f"{error}\n")
        return 2
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # no arguments at all
            sys.stdout.write(message + "\n")
            return 0
        sys.stderr.write(f"{_command(arguments)}: {' '.join(message.split())}; try --help\n")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; nothing half-written is left\n")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        sys.stderr.write(f"graphrec: a fault of ours, {type(error).__name__}: {message}; ")
        sys.stderr.write("try --debug for the traceback\n")
        return 1


def _command(arguments: list[str]) -> str:
    """Return the command that the arguments name, for messages."""
    words = [word for word in arguments[:2] if word.isalpha()]
    return " ".join(["graphrec", *words])
