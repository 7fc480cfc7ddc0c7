"""What the tables of a folder are: interactions, items, users; and which columns are their ids."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.profile import ColumnProfile, TableProfile

USER = "user customer client member visitor buyer account reviewer uid kunde kunden person patient"
USER += " shopper subscriber consumer cust"
SESSION = "session basket visit cart invoice order bestellung"
ITEM = "item product sku article asin movie book track song artikel produkt prod game recipe place"
ITEM += " business iid pid film video news hotel restaurant isbn ware article"
KEY = "id code key nr no number sku asin isbn uid ref"
TITLE = "title name titel bezeichnung label"
WEIGHT = "rating stars score qty quantity count amount pieces menge anzahl stueck plays"
EVENT = "event type action behavior behaviour kind activity"
BUY = "buy purchase order transaction sale conversion bought kauf"


@dataclass
class Roles:
    """The guessed meaning of a folder of tables.

    Args:
        events: The table of interactions.
        user: Its column of users.
        item: Its column of items.
        time: Its column of times, if there is one.
        weight: Its column of weights, if there is one.
        event: Its column of kinds of events, if there is one.
        users: The table that describes users, and its id.
        items: The table that describes items, and its id.
        unused: Tables without a role.
        doubts: What was guessed without much evidence, as sentences.
    """

    events: TableProfile
    user: ColumnProfile
    item: ColumnProfile
    time: ColumnProfile | None = None
    weight: ColumnProfile | None = None
    event: ColumnProfile | None = None
    users: tuple[TableProfile, ColumnProfile] | None = None
    items: tuple[TableProfile, ColumnProfile] | None = None
    unused: list[TableProfile] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def words_of(name: str) -> set[str]:
    """Return the words of a column's name in lower case: ``customerID`` is customer and id."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return {word.lower() for word in re.split(r"[^A-Za-z]+", spaced) if word}


def named(column: ColumnProfile, words: str) -> bool:
    """Return whether a column's name holds one of some words, also inside a longer one."""
    found = words_of(column.name)
    wanted = words.split()
    return bool(found & set(wanted)) or any(
        len(want) > 3 and want in name for want in wanted for name in found
    )


def roles_of(tables: Sequence[TableProfile]) -> Roles:
    """Return the roles of some tables and their columns.

    The names of columns count first. Where they say nothing, the values do: ids of one table that
    stand in another one.

    Raises:
        GraphRecError: When no table looks like interactions of users with items.
    """
    best: tuple[float, Roles] | None = None
    for table in tables:
        others = [other for other in tables if other is not table]
        user, item, doubts = _ends(table, others)
        if user is None or item is None:
            continue
        repeats = 2.0 - user.distinct / max(len(user.values), 1)
        repeats -= item.distinct / max(len(item.values), 1)
        timed = any(column.kind == "time" for column in table.columns.values())
        rating = repeats + 0.5 * timed - len(doubts) + 0.1 * (table.rows > 0)
        if best is None or rating > best[0]:
            best = rating, Roles(table, user, item, doubts=doubts)
    if best is None:
        seen = "; ".join(f"{table.file} ({', '.join(table.columns)})" for table in tables[:4])
        expected = "a table with a column of users and a column of items"
        hint = "names such as user_id and item_id for its columns"
        raise GraphRecError("data new", expected, seen, hint)
    roles = best[1]
    _describe_events(roles)
    for table in tables:
        if table is roles.events:
            continue
        if roles.items is None and (key := _key(table, roles.item, ITEM)) is not None:
            roles.items = table, key
        elif roles.users is None and (key := _key(table, roles.user, USER)) is not None:
            roles.users = table, key
        else:
            roles.unused.append(table)
    return roles


def overlap(column: ColumnProfile, other: ColumnProfile) -> float:
    """Return the share of the distinct values of a column that the other one has too."""
    mine = column.values.unique()
    return float(mine.is_in(other.values.unique().implode()).mean() or 0.0)  # type: ignore[arg-type]


def _ends(
    table: TableProfile, others: Sequence[TableProfile]
) -> tuple[ColumnProfile | None, ColumnProfile | None, list[str]]:
    """Return the columns of users and of items, and what is doubtful about them."""
    ids = [c for c in table.columns.values() if c.kind in ("label", "number", "time", "prose")]
    user = _first(ids, USER) or _first(ids, SESSION)
    item = _first([column for column in ids if column is not user], ITEM)
    doubts: list[str] = []
    keys = {c.name: _found_in(c, others) for c in ids if not named(c, WEIGHT) and c.kind != "time"}
    if item is None:
        item = _by_values(ids, keys, {user.name if user else ""})
        if item is not None:
            doubts.append(f"`{item.name}` is the item: its values are ids of {keys[item.name]}")
    if user is None and item is not None:
        user = _by_values(ids, keys, {item.name})
        if user is not None:
            doubts.append(f"`{user.name}` is the user: its values are ids of {keys[user.name]}")
    if user is not None and named(user, SESSION) and not named(user, USER):
        doubts.append(f"`{user.name}` stands for the user: no column names users")
    if item is not None and item.unique and table.rows > 20:
        return None, None, doubts  # a table that describes items
    return user, item, doubts


def _first(columns: Iterable[ColumnProfile], words: str) -> ColumnProfile | None:
    fitting = [column for column in columns if named(column, words) and column.kind != "time"]
    keyed = [column for column in fitting if named(column, KEY)]
    return next(iter(keyed or fitting), None)


def _found_in(column: ColumnProfile, others: Sequence[TableProfile]) -> str:
    """Return which table's ids the values of a column are, "" for none."""
    for other in others:
        for key in other.columns.values():
            if key.unique and key.kind == column.kind and overlap(column, key) > 0.7:
                return f"`{key.name}` in {other.file}"
    return ""


def _by_values(
    columns: Sequence[ColumnProfile], keys: Mapping[str, str], without: set[str]
) -> ColumnProfile | None:
    for column in columns:
        if column.name not in without and keys.get(column.name) and not column.unique:
            return column
    return None


def _key(table: TableProfile, end: ColumnProfile, words: str) -> ColumnProfile | None:
    """Return the column of a table that holds the ids of an end of the interactions."""
    shared = [
        (overlap(end, column), named(column, KEY) or named(column, words), column)
        for column in table.columns.values()
        if column.kind != "empty" and column.distinct > 0.5 * max(len(column.values), 1)
    ]
    shared = [each for each in shared if each[0] >= 0.2]
    return max(shared, key=lambda each: (each[0] > 0.5, each[1], each[0]))[2] if shared else None


def _describe_events(roles: Roles) -> None:
    """Find times, weights and kinds of events among the other columns of the interactions."""
    used = {roles.user.name, roles.item.name}
    for column in roles.events.columns.values():
        if column.name in used:
            continue
        if column.kind == "time" and roles.time is None:
            roles.time = column
        elif column.kind == "number" and named(column, WEIGHT) and roles.weight is None:
            roles.weight = column
        elif (
            column.kind == "label"
            and named(column, EVENT)
            and 2 <= column.distinct <= 8
            and roles.event is None
        ):
            roles.event = column
    if roles.time is None:
        roles.doubts.append(
            "no column of times was seen: histories have no order, and a split draws at random"
        )
