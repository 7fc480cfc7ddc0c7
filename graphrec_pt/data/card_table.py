"""Cards as a table for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from graphrec_pt.data.card import Card


def card_table(cards: Sequence[Card]) -> Table:
    """Return one line per card: name, title, published counts, how the raw files come."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True, min_width=max((len(c.name) for c in cards), default=0))
    for column in ("data set", "published counts"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    table.add_column("raw files", no_wrap=True, min_width=len("from a package"))
    for card in cards:
        counts = ", ".join(f"{n:,} {what}" for what, n in list(card.expect.items())[:3])
        table.add_row(card.name, card.title, counts or "–", _way(card))
    return table


def _way(card: Card) -> str:
    ways = [way for source in card.sources for way in (source, *source.or_else)]
    if any(way.package for way in ways):
        return "from a package"
    if any(way.url for way in ways):
        return "downloaded"
    return "--raw" if any(table.file for table in card.tables.values()) else "in the card"
