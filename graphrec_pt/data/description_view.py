"""The look of a description in a terminal."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from graphrec_pt.data.describe import Description, Spread, human_time


def view(description: Description) -> RenderableType:
    """Return a description as one screen of tables."""
    parts: list[RenderableType] = [_headline(description), _nodes(description)]
    parts += [_relations(description), _spans(description), *_warnings(description)]
    return Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts))


def _headline(description: Description) -> Text:
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


def _nodes(description: Description) -> Table:
    table = _table("nodes", "count", "no edge", columns="left")
    for node in description.nodes:
        columns = ", ".join(f"{name} ({kind})" for name, kind in node.columns.items())
        isolated = f"{node.isolated:,}" if node.isolated else "–"
        table.add_row(node.name, f"{node.count:,}", isolated, columns or "–")
    return table


def _relations(description: Description) -> Table:
    table = _table("relation", from_to="left", edges="right")
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


def _spans(description: Description) -> Table:
    """Return density and time span of interactions, and of what else carries times."""
    table = Table.grid(padding=(0, 2))
    measured = {histories.relation for histories in description.histories}
    for relation in description.relations:
        if relation.first is None and relation.name not in measured:
            continue
        ends = [human_time(t, description.time_unit) for t in (relation.first, relation.last)]
        what = "places" if description.time_unit == "ordinal" else "from"
        span = f"{what} {ends[0]} to {ends[1]}" if ends[0] is not None else "no times"
        table.add_row(relation.name, f"density {_density(relation.density)}", span)
    return table


def _warnings(description: Description) -> list[RenderableType]:
    if not description.warnings:
        return []
    table = Table.grid(padding=(0, 1))
    for warning in description.warnings:
        table.add_row(Text("!", "bold yellow"), Text(warning))
    return [table]


def _table(name: str, *numbers: str, **texts: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(name, no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right")
    for text, side in texts.items():
        header, right = text.replace("_", " → "), side == "right"
        table.add_column(header, justify="right" if right else "left", no_wrap=right)
    return table


def _spread(spread: Spread) -> str:
    mean = f"{spread.mean:,.0f}" if spread.mean >= 100 else f"{spread.mean:.2g}"
    return f"{spread.min:,} {spread.median:,.0f} {mean} {spread.max:,}"


def _density(density: float) -> str:
    return f"{density:.2%}" if density >= 0.0001 else f"{density:.0e}"


def _bytes(size: float) -> str:
    units = ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.3g} {units[0]}"
