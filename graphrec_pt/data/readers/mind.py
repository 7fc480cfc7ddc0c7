"""MIND: impression logs and the entities of news (Wu et al., ACL 2020)."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_lines, reader, require_fields

BEHAVIOUR_FIELDS = ("impression", "user", "time", "history", "shown")
NEWS = ("news", "category", "subcategory", "title", "abstract", "url")
TIME = "%m/%d/%Y %I:%M:%S %p"
ENTITY = ("news", "place", "entity", "label", "type", "confidence")


@reader("mind_behaviors")
class MindBehaviors:
    """``behaviors.tsv`` → parts ``impressions``, ``history`` and ``shown``.

    Impression numbers start again in every file, so ids are ``folder/number`` when several files
    are read. ``impressions`` has ``impression``, ``user``, ``time``, ``split`` (the folder);
    ``history`` has ``user``, ``news``, ``position``, once per user: the list of the earliest
    impression, as those of later folders hold the clicks of earlier ones; ``shown`` has
    ``impression``, ``user``, ``time``, ``split``, ``news``, ``position`` and ``clicked`` (1, 0,
    or null where labels are withheld).
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables ``impressions``, ``history`` and ``shown``."""
        rows = pl.concat(self._read_one(file, prefixed=len(files) > 1) for file in files)
        head = ("impression", "user", "time", "split")
        news = pl.col("news").str
        return {
            "impressions": rows.select(head),
            "history": _listed(_earliest(rows), "history", ("user",)),
            "shown": _listed(rows, "shown", head).with_columns(
                news=news.replace(r"-[01]$", ""), clicked=news.extract(r"-([01])$").cast(pl.Int64)
            ),
        }

    def _read_one(self, file: RawFile, *, prefixed: bool) -> pl.DataFrame:
        lines = read_lines(file)
        tabs = pl.col("text").str.count_matches("\t", literal=True)
        require_fields(file, lines, tabs == len(BEHAVIOUR_FIELDS) - 1, "5 fields separated by tabs")
        fields = pl.col("text").str.split_exact("\t", len(BEHAVIOUR_FIELDS) - 1)
        rows = lines.select(fields.struct.rename_fields(list(BEHAVIOUR_FIELDS))).unnest("text")
        folder = file.path.parent.name if file.member is None else file.path.stem
        rows = rows.with_columns(split=pl.lit(folder))
        return (
            rows.with_columns(impression=folder + "/" + pl.col("impression")) if prefixed else rows
        )


@reader("mind_news")
class MindNews:
    """``news.tsv`` → parts ``news`` (without its JSON) and ``entities``.

    ``entities`` has ``news``, ``entity`` (Wikidata id), ``label``, ``type``, ``confidence`` and
    ``place`` (``title`` or ``abstract``). News that several files share is kept once.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables ``news`` and ``entities``."""
        news, found = [], []
        for file in files:
            lines = read_lines(file)
            tabs = pl.col("text").str.count_matches("\t", literal=True)
            require_fields(file, lines, tabs == len(NEWS) + 1, "8 fields separated by tabs")
            for line, text in lines.rows():
                fields = text.split("\t")
                news.append([field or None for field in fields[:6]])
                for place, cell in zip(("title", "abstract"), fields[6:], strict=True):
                    found += _entities(f"{file.name}:{line}", fields[0], place, cell)
        news_rows = pl.DataFrame(news, schema=dict.fromkeys(NEWS, pl.String), orient="row")
        entities = pl.DataFrame(found, schema=dict.fromkeys(ENTITY, pl.String), orient="row")
        return {
            "news": news_rows.unique("news", keep="first", maintain_order=True),
            "entities": entities.unique(maintain_order=True).with_columns(
                pl.col("confidence").cast(pl.Float64, strict=False)
            ),
        }


def _earliest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the first impression of each user by time; of equal times, the shortest history."""
    when = pl.col("time").str.to_datetime(TIME, strict=False)
    first = rows.with_row_index("row").sort(
        when, pl.col("history").str.len_chars(), "row", nulls_last=True
    )
    kept = first.unique("user", keep="first", maintain_order=True).sort("row")
    return kept.drop("row")


def _listed(rows: pl.DataFrame, column: str, keep: Sequence[str]) -> pl.DataFrame:
    news = rows.select(*keep, news=pl.col(column).str.strip_chars().str.split(" "))
    positions = pl.int_ranges(0, pl.col("news").list.len())
    news = news.with_columns(position=positions).explode("news", "position")
    return news.filter(pl.col("news") != "")


def _entities(who: str, news: str, place: str, cell: str) -> list[tuple[Any, ...]]:
    if not cell.strip():
        return []
    try:
        keys = ("WikidataId", "Label", "Type", "Confidence")
        return [(news, place, *(str(entity[key]) for key in keys)) for entity in json.loads(cell)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise GraphRecError(who, f"a JSON list of {place} entities", repr(cell[:60])) from error
