"""The card of one's own tables, built from contents that a test writes."""

from pathlib import Path
from typing import Any

from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import Card, load_card
from graphrec_pt.graph.graph import Graph

ROWS = "user,item,time\nann,pen,10\nbob,ink,20\n"
ITEMS = "id,title,category\npen,Pen,a\nink,Ink,b\n"


def tables(table: str = "interactions", **options: Any) -> Card:
    """Return the card for one's own tables, one of them read with other options."""
    card = load_card("tables")
    plan = card.tables[table].model_copy(update=options)
    return card.model_copy(update={"tables": card.tables | {table: plan}})


def built(folder: Path, card: Card | None = None, **files: str | bytes) -> Graph:
    """Build from files, named as in ``interactions_csv="…"``."""
    for name, content in files.items():
        stem, _, ending = name.partition("_")
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{stem}.{ending.replace('_', '.')}").write_bytes(data)
    return build_card(card or load_card("tables"), folder)


def titles(graph: Graph) -> dict[str, str | None]:
    """Return the title of every item by its raw id."""
    return dict(graph.tables["item"].select("id", "title").rows())


def notes(graph: Graph) -> list[str]:
    """Return what the build says that it changed."""
    return list(graph.provenance["notes"])
