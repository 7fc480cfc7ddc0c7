"""Cards as a table for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from graphrec_pt.graph.card import Card


def card_table(cards: Sequence[Card]) -> Table:
    """Return one row per card: name, title, counts, licence, how to get it."""
    table = Table("name", "what", "published counts", "licence", "raw files", box=None)
    for card in cards:
        counts = ", ".join(f"{n:,} {what}" for what, n in list(card.expect.items())[:3])
        table.add_row(card.name, card.title, counts, card.licence.name, _source(card))
    return table


def _source(card: Card) -> str:
    ways = [way for source in card.sources for way in (source, *source.or_else)]
    if any(way.package for way in ways):
        return "from a Python package"
    if any(way.url for way in ways):
        return "downloaded"
    if any(table.file for table in card.tables.values()):
        return "--raw"
    return "in the card"
