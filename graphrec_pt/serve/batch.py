"""Recommendations for many users as one Parquet file, a block at a time; a killed job goes on.

Memory holds one block of users. Finished blocks stand in ``FILE.parts`` until all are there, with a
record of what was asked for; the same call goes on after the last finished block.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import torch
from torch import Tensor

from graphrec_pt.core.documents import digest_of, read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file, locked, remove, write_text
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.serve.recommender import Recommended, Recommender

PARTS, PLAN, LOCK = ".parts", "plan.json", ".lock"
BLOCK = 1024
"""Users of a block."""
Tell = Callable[[str, int, int], None]
SCHEMA = pl.Schema(
    {
        "user": pl.String(),
        "rank": pl.Int32(),
        "item": pl.String(),
        "score": pl.Float32(),
        "by": pl.String(),
    }
)


def recommend_file(
    recommender: Recommender,
    out: str | Path,
    users: Sequence[str] | None = None,
    k: int = 10,
    *,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    excluded: Mapping[str, Sequence[str]] | None = None,
    explain: bool = False,
    block: int = BLOCK,
    tell: Tell | None = None,
) -> int:
    """Write the best items of many users: a row for each user and place.

    Columns: ``user``, ``rank`` from 1, ``item``, ``score``, ``by`` (``model``, or ``popularity``
    for a user whom the model cannot know), and with `explain` ``because``, the best path in words.

    Args:
        recommender: Of a run.
        out: The Parquet file to write.
        users: Raw ids, all different; all users of the graph by default.
        k: Items per user.
        only: Filters such as ``genre=Comedy``.
        exclude: Raw ids of items that nobody gets.
        excluded: User → raw ids of items that the user does not get.
        explain: Add a path to each item.
        block: Users of a block.
        tell: Called with the number of finished users.

    Returns:
        The number of users.

    Raises:
        GraphRecError: For an empty or repeated list of users, and where a job with other options
            was interrupted.
    """
    out = Path(out)
    if users is None:
        users = recommender.history.tables[recommender.user_type][RAW_ID].to_list()
    if not users:
        raise GraphRecError("recommend", "at least one user", "none", "--all")
    if len(set(users)) < len(users):
        twice = next(user for user in users if list(users).count(user) > 1)
        raise GraphRecError("recommend", "each user once", f"{twice!r} in several rows")
    parts = out.with_name(out.name + PARTS)
    wanted = {
        "k": k,
        "only": list(only),
        "explain": explain,
        "block": block,
        "users": digest_of({"users": list(users)}),
        "exclude": digest_of(
            {"all": list(exclude), "pairs": {u: list(v) for u, v in (excluded or {}).items()}}
        ),
        "graph": recommender.history.fingerprint,
    }
    ask = partial(
        recommender.recommend,
        k=k,
        unknown="popularity",
        only=only,
        exclude=exclude,
        excluded=excluded,
    )
    with locked(parts / LOCK, out):
        _check_plan(parts, wanted, out)
        done = 0
        for number, low in enumerate(range(0, len(users), block)):
            chosen, file = list(users[low : low + block]), parts / f"{number:06d}.parquet"
            if not file.exists():
                if explain:
                    rows = _explained(recommender, ask(chosen, explain=1))
                else:
                    among = recommender.among(only, exclude)
                    rows = _rows(recommender, chosen, k, among, excluded or {}, ask)
                with finished_file(file) as made:
                    rows.write_parquet(made)
            done += len(chosen)
            if tell is not None:
                tell("recommending", done, len(users))
        _join(sorted(parts.glob("*.parquet")), out)
    remove(parts)
    return len(users)


def _rows(
    recommender: Recommender,
    users: list[str],
    k: int,
    among: Tensor | None,
    excluded: Mapping[str, Sequence[str]],
    ask: Callable[[Sequence[str]], list[Recommended]],
) -> pl.DataFrame:
    """Return the rows of a block without an object for each item."""
    graph, items = recommender.history, recommender.items
    nodes = [int(node or 0) for node in recommender.user_nodes(users, "popularity")]
    known = [
        (node, user) for node, user in zip(nodes, users, strict=True) if recommender.knows(node)
    ]
    known.sort()
    frames = []
    if known:
        at = torch.tensor([node for node, _ in known])
        refused = recommender.excluded_pairs(at, excluded)
        best = recommender.lists(at, k, among=among, excluded=refused)
        row, place = (best.items >= 0).nonzero(as_tuple=True)
        raw = graph.tables[recommender.item_type][RAW_ID]
        names = pl.Series([user for _, user in known], dtype=pl.String)
        frames.append(
            pl.DataFrame(
                {
                    "user": names.gather(row.numpy()),
                    "rank": (place + 1).numpy(),
                    "item": raw.gather((best.items[row, place] - items.start).numpy()),
                    "score": best.score[row, place].numpy(),
                    "by": pl.repeat("model", len(row), eager=True, dtype=pl.String),
                }
            ).cast(SCHEMA)
        )
    strange = [user for node, user in zip(nodes, users, strict=True) if not recommender.knows(node)]
    if strange:
        frames.append(_explained(recommender, ask(strange)).select(*SCHEMA))
    made = pl.concat(frames)
    order = pl.DataFrame({"user": users, "place": range(len(users))})
    return made.join(order, on="user").sort("place", "rank").drop("place")


def _explained(recommender: Recommender, found: Sequence[Recommended]) -> pl.DataFrame:
    """Return recommendations as rows, with the best path in words."""
    rows = []
    for given in found:
        for place, item in enumerate(given.items, start=1):
            why = item.paths[0].in_words(recommender.history) if item.paths else None
            rows.append((given.user, place, item.id, item.score, given.by, why))
    schema = pl.Schema({**SCHEMA, "because": pl.String()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def _check_plan(parts: Path, wanted: dict[str, object], out: Path) -> None:
    """Keep what was asked for, or raise when another job stands there half done."""
    plan = parts / PLAN
    if not plan.exists():
        write_text(plan, json.dumps(wanted, indent=1) + "\n")
        return
    before = read_json_object(plan)
    for name, value in wanted.items():
        if before.get(name) != value:
            got = f"an interrupted job with other {name}"
            hint = f"the same options again, or removing {parts}"
            raise GraphRecError(str(out), "the job that was interrupted", got, hint)


def _join(files: Sequence[Path], out: Path) -> None:
    """Write the parts as one file, a part in memory at a time."""
    with finished_file(out) as made:
        writer: pq.ParquetWriter | None = None
        try:
            for file in files:
                table = pq.read_table(file)
                writer = writer or pq.ParquetWriter(made, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()


def read_users(path: str | Path) -> list[str]:
    """Return the users of a file: a raw id a line, or the column ``user``, ``id`` or the first one.

    Raises:
        GraphRecError: For a file that is not there or cannot be read.
    """
    frame = _table(Path(path), "--users")
    column = next((name for name in ("user", "id") if name in frame.columns), frame.columns[0])
    return frame[column].drop_nulls().cast(pl.String).unique(maintain_order=True).to_list()


def read_exclusions(path: str | Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the items that nobody gets, and user → items that this user does not get.

    Args:
        path: An item a line, or a table with a column ``item`` and, for pairs, a column ``user``.

    Raises:
        GraphRecError: For a file that is not there or cannot be read.
    """
    frame = _table(Path(path), "--exclude")
    item = "item" if "item" in frame.columns else frame.columns[-1]
    frame = frame.with_columns(pl.all().cast(pl.String))
    if "user" not in frame.columns:
        return frame[item].drop_nulls().to_list(), {}
    pairs = frame.select("user", item).drop_nulls().group_by("user", maintain_order=True).agg(item)
    return [], dict(pairs.iter_rows())


def _table(path: Path, option: str) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(path)
        if path.suffix in (".csv", ".tsv"):
            separator = "\t" if path.suffix == ".tsv" else ","
            return pl.read_csv(path, infer_schema=False, separator=separator)
        lines = path.read_text(encoding="utf-8").splitlines()
        ids = [line.strip() for line in lines if line.strip()]
        return pl.DataFrame({"id": ids}, schema={"id": pl.String})
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        got = str(error).splitlines()[0]
        raise GraphRecError(f"{option} {path}", "a readable file of ids", got) from error
