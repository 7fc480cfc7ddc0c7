"""``graphrec data``: build graphs from raw data, describe and draw them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from graphrec_pt.cli.printing import Terminal, print_json, progress
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError

if TYPE_CHECKING:
    from graphrec_pt.data.card import Card
    from graphrec_pt.data.describe import Description, Spread
    from graphrec_pt.graph.graph import Graph

data = typer.Typer(no_args_is_help=True, help="Build graphs from raw data, describe and draw them.")


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
        # A pipe has no width: every card takes one line.
        console = Terminal()
        if not console.is_terminal:
            console = Terminal(width=1000)
        console.print(_card_table(cards))


@data.command("build")
def build_data(
    name: Annotated[str, typer.Argument(help="Name of a card, or a card's YAML file.")],
    raw: Annotated[
        Path | None, typer.Option(help="Folder of raw files. Default: download them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the graph (default graphs/NAME).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed that permutes the node ids.")] = 0,
    cache: Annotated[Path, typer.Option(help="Folder for downloaded raw files.")] = Path(
        "~/.cache/graphrec_pt"
    ),
) -> None:
    """Build the graph of a data set and save it."""
    from graphrec_pt.data.build import build_card
    from graphrec_pt.data.card import load_card
    from graphrec_pt.data.describe import describe
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
    """Print the content of a graph, and warnings about it."""
    from graphrec_pt.data.describe import describe
    from graphrec_pt.graph.store import open_graph

    description = describe(open_graph(folder))
    if as_json:
        print_json(description.to_dict())
    else:
        Terminal().print(view(description))


@data.command("draw")
def draw_data(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A saved graph.")],
    node: Annotated[
        list[str],
        typer.Option(
            help="The node to start from, TYPE:RAWID; repeat it for samplers of pairs or sets."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Picture to write: .png, .svg or .pdf.")],
    hops: Annotated[int, typer.Option(min=1, help="Number of hops around the node.")] = 2,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="Draw a sample instead: NAME of a sampler, or '{name: NAME, option: …}'."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 0,
    trust_code: TrustCode = False,
) -> None:
    """Draw the neighbourhood of a node, or a sample around it."""
    from graphrec_pt.data.draw import draw_neighborhood
    from graphrec_pt.data.picture import save
    from graphrec_pt.graph.store import open_graph

    graph = open_graph(folder)
    nodes = [_named_node(graph, name) for name in node]
    if sampler is not None:
        from graphrec_pt.sampling.draw_sample import draw_sample

        config = _yaml("--sampler", sampler)
        with trusted(trust_code):
            picture = draw_sample(graph, config, nodes, seed=seed)
    elif len(nodes) > 1:
        raise GraphRecError("--node", "one node without --sampler", f"{len(nodes)}")
    else:
        picture = draw_neighborhood(graph, nodes[0], hops=hops)
    save(picture, out)
    Terminal().print(f"drawn in {out}", soft_wrap=True)


def _card_table(cards: "Sequence[Card]") -> Table:
    """Return one row per card: name, title, published counts, source of the raw files."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for column in ("data set", "published counts"):
        table.add_column(column, overflow="fold")
    table.add_column("raw files", no_wrap=True)
    for card in cards:
        counts = ", ".join(f"{noun} {n:,}" for noun, n in list(card.expect.items())[:3])
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


def view(description: "Description") -> RenderableType:
    """Return a description as one screen of tables."""
    parts: list[RenderableType] = [_headline(description), _nodes(description)]
    parts += [_relations(description), _spans(description), *_warnings(description)]
    return Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts))


def _headline(description: "Description") -> Text:
    provenance = description.provenance
    edges = sum(relation.edges for relation in description.relations)
    nodes = sum(node.count for node in description.nodes)
    size = f"{_bytes(description.array_bytes)} arrays, {_bytes(description.table_bytes)} columns"
    line = Text()
    line.append(str(provenance.get("card") or "graph"), "bold")
    line.append(f"  {nodes:,} nodes  {edges:,} edges, inverses not counted  {size}\n")
    seed = provenance.get("permutation_seed")
    order = "ids in raw order" if seed is None else f"ids permuted with seed {seed}"
    line.append(f"fingerprint {description.fingerprint or 'none'}  {order}", "dim")
    return line


def _nodes(description: "Description") -> Table:
    table = _numbers_table("nodes", "count", "no edge", columns="left")
    for node in description.nodes:
        columns = ", ".join(f"{name} ({kind})" for name, kind in node.columns.items())
        isolated = f"{node.isolated:,}" if node.isolated else "–"
        table.add_row(node.name, f"{node.count:,}", isolated, columns or "–")
    return table


def _relations(description: "Description") -> Table:
    table = _numbers_table("relation", from_to="left", edges="right")
    for end in ("source", "target"):
        table.add_column(f"edges of a {end}\nmin med mean max", justify="right", no_wrap=True)
    for relation in description.relations:
        table.add_row(
            relation.name,
            f"{relation.source} → {relation.target}",
            f"{relation.edges:,}",
            _spread(relation.out_degree),
            _spread(relation.in_degree),
        )
    return table


def _spans(description: "Description") -> Table:
    """Return density and time span of interactions, and of other relations with times."""
    from graphrec_pt.data.describe import human_time

    table = Table.grid(padding=(0, 2))
    measured = {histories.relation for histories in description.histories}
    for relation in description.relations:
        if relation.first is None and relation.name not in measured:
            continue
        ends = [human_time(t, description.time_unit) for t in (relation.first, relation.last)]
        first = "places" if description.time_unit == "ordinal" else "from"
        span = f"{first} {ends[0]} to {ends[1]}" if ends[0] is not None else "no times"
        table.add_row(relation.name, f"density {_density(relation.density)}", span)
    return table


def _warnings(description: "Description") -> list[RenderableType]:
    if not description.warnings:
        return []
    table = Table.grid(padding=(0, 1))
    for warning in description.warnings:
        table.add_row(Text("!", "bold yellow"), Text(warning))
    return [table]


def _numbers_table(name: str, *numbers: str, **texts: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(name, no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right")
    for text, side in texts.items():
        header, right = text.replace("_", " → "), side == "right"
        table.add_column(header, justify="right" if right else "left", no_wrap=right)
    return table


def _spread(spread: "Spread") -> str:
    mean = f"{spread.mean:,.0f}" if spread.mean >= 100 else f"{spread.mean:.2g}"
    return f"{spread.min:,} {spread.median:,.0f} {mean} {spread.max:,}"


def _density(density: float) -> str:
    return f"{density:.2%}" if density >= 0.0001 else f"{density:.0e}"


def _bytes(size: float) -> str:
    units = ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.3g} {units[0]}"
