"""``graphrec data``: graphs from raw data, and looks at them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphrec_pt.cli.printing import Terminal, print_json, progress
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError

if TYPE_CHECKING:
    from rich.table import Table

    from graphrec_pt.data.card import Card
    from graphrec_pt.graph.graph import Graph

data = typer.Typer(no_args_is_help=True, help="Build graphs from raw data and look at them.")


@data.command("ls")
def list_cards(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets that have a card."""
    from graphrec_pt.data.card import card_files, load_card

    cards = [load_card(file.name.removesuffix(".yaml")) for file in card_files()]
    if as_json:
        print_json([{"name": c.name, "title": c.title, "expect": c.expect} for c in cards])
    else:
        # Through a pipe there is no width to fit, so that every card is one line.
        console = Terminal()
        if not console.is_terminal:
            console = Terminal(width=1000)
        console.print(_card_table(cards))


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
    from graphrec_pt.data.build import build_card
    from graphrec_pt.data.card import load_card
    from graphrec_pt.data.describe import describe
    from graphrec_pt.data.description_view import view
    from graphrec_pt.data.fetch import fetch

    card = load_card(name)
    out = out or Path("graphs") / card.name
    with progress() as tell:
        raw = raw or fetch(card, cache.expanduser() / card.name, tell)
        graph = build_card(card, raw, seed=seed, out=out, progress=tell)
    console = Terminal()
    console.print(view(describe(graph)))
    console.print(f"saved in {out}", soft_wrap=True)


@data.command("describe")
def describe_data(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A saved graph.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a graph, and what to be careful about."""
    from graphrec_pt.data.describe import describe
    from graphrec_pt.data.description_view import view
    from graphrec_pt.graph.store import open_graph

    found = describe(open_graph(folder))
    if as_json:
        print_json(found.to_dict())
    else:
        Terminal().print(view(found))


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
    trust_code: TrustCode = False,
) -> None:
    """Draw the neighbourhood of a node, or what a sampler returns for it."""
    from graphrec_pt.data.draw import draw_neighborhood, save
    from graphrec_pt.graph.store import open_graph

    graph = open_graph(folder)
    nodes = [_named_node(graph, name) for name in node]
    if sampler is not None:
        from graphrec_pt.sampling.picture import draw_sample

        config = _yaml("--sampler", sampler)
        with trusted(trust_code):
            figure = draw_sample(graph, config, nodes, seed=seed)
    elif len(nodes) > 1:
        raise GraphRecError("--node", "one node without --sampler", f"{len(nodes)}")
    else:
        figure = draw_neighborhood(graph, nodes[0], hops=hops)
    save(figure, out)
    Terminal().print(f"drawn in {out}", soft_wrap=True)


def _card_table(cards: "Sequence[Card]") -> "Table":
    """Return one row per card: name, title, published counts, how the raw files come."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for column in ("data set", "published counts"):
        table.add_column(column, overflow="fold")
    table.add_column("raw files", no_wrap=True)
    for card in cards:
        counts = ", ".join(f"{n:,} {what}" for what, n in list(card.expect.items())[:3])
        table.add_row(card.name, card.title or card.name, counts or "–", _way(card))
    return table


def _way(card: "Card") -> str:
    ways = [way for source in card.sources for way in (source, *source.or_else)]
    if any(way.package for way in ways):
        return "from a package"
    if any(way.url for way in ways):
        return "downloaded"
    return "--raw" if any(table.file for table in card.tables.values()) else "in the card"


def _named_node(graph: "Graph", name: str) -> int:
    kind, colon, raw_id = name.partition(":")
    if not colon:
        raise GraphRecError("--node", "TYPE:RAWID", repr(name), f"{graph.schema.node_names[0]}:…")
    return graph.node_id(kind, raw_id)


def _yaml(option: str, text: str) -> Any:
    from graphrec_pt.core.documents import parse_yaml

    return parse_yaml(text, option, "a name or a YAML mapping")
