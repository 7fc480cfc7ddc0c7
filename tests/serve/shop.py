"""A small shop as files, with a card and the options of a quick run."""

from pathlib import Path

from graphrec_pt import Key
from graphrec_pt.data.synthetic import synthetic_tables

CARD = """
name: corner
tables:
  sales: {file: sales.csv, types: {time: int}}
  items: {file: items.csv}
nodes:
  user: {}
  item: {table: items, id: item, columns: {title: text, price: number}, title: title}
  brand: {}
edges:
  buys: {table: sales, source: user.user, target: item.item, time: time, inverse: bought_by,
    interaction: true}
  made_by: {table: items, source: item.item, target: brand.brand, inverse: makes}
"""
SMALL = (
    "model.backbone.width=16",
    "model.backbone.layers=1",
    "stages.0.epochs=3",
    "evaluate.baselines=[popularity]",
    "options.cpu=true",
)


def write_shop(folder: Path) -> Path:
    """Write the tables of the shop and its card."""
    _, tables = synthetic_tables(40, 30, 400, clusters=3, key=Key(2))
    tables["interactions"].select("user", "item", "time").write_csv(folder / "sales.csv")
    items = tables["items"].rename({"id": "item"}).select("item", "title", "brand")
    items.with_row_index("price").write_csv(folder / "items.csv")
    (folder / "corner.yaml").write_text(CARD)
    return folder
