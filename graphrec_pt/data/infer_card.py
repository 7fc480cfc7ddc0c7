"""A first card for a folder of tables: a guess with comments, to be read and corrected.

Columns become users, items, times, weights, attributes, texts and trees of categories by their
names and their values. Every doubt stands as a comment at the top of the card.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import yaml

from graphrec_pt.data.infer_roles import (
    BUY,
    KEY,
    TITLE,
    Roles,
    named,
    roles_of,
)
from graphrec_pt.data.profile import ColumnProfile, TableProfile, profile_folder

MOST = 2_000
"""Values of an attribute at most; with more it is no attribute but a text or an id."""
PLAIN = re.compile(r"[A-Za-z_][\w-]*")
RESERVED = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


@dataclass
class _Draft:
    """A card that is being written.

    Args:
        tables: Table → lines of options.
        nodes: Node type → its line.
        edges: Relation → lines of options.
        doubts: What a person should look at.
        unit: Unit of times.
    """

    tables: dict[str, list[str]] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    edges: dict[str, list[str]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    unit: str = "s"


def infer_card(folder: str | Path, name: str | None = None) -> str:
    """Return the text of a card for the tables in a folder, with comments.

    Args:
        folder: Folder of CSV, TSV, JSON or Parquet files.
        name: Name of the card; by default that of the folder.

    Raises:
        GraphRecError: When there is no table of interactions, and for files that cannot be read.

    Example:
        >>> text = infer_card("shop")
        >>> parse_card(text, "card.yaml").nodes["item"].title
        'title'
    """
    folder = Path(folder)
    tables = profile_folder(folder)
    roles, draft = roles_of(tables), _Draft()
    draft.doubts += roles.doubts
    for table in (roles.events, *(each[0] for each in (roles.users, roles.items) if each)):
        draft.tables[table.name] = _reading(table)
    _node_type(draft, "user", roles.users, roles.user)
    _node_type(draft, "item", roles.items, roles.item)
    _interactions(draft, roles)
    for kind, described in (("user", roles.users), ("item", roles.items)):
        if described is not None:
            _attributes(draft, kind, *described)
    draft.doubts += [f"{table.file} is not used: no id links it" for table in roles.unused]
    wanted = name or re.sub(r"[^\w .+-]", "-", folder.resolve().name).strip("-. ") or "shop"
    return _text(wanted, tables, draft)


def _reading(table: TableProfile) -> list[str]:
    lines = [f"file: {_plain(table.file)}"]
    if table.separator not in (None, ",") and not (
        table.separator == "\t" and table.file.lower().endswith(".tsv")
    ):
        lines.append(f"separator: {_quoted(str(table.separator))}")
    if table.encoding != "utf-8":
        lines.append(f"encoding: {table.encoding}   # guessed: the file is not UTF-8")
    if not table.header:
        names = ", ".join(_plain(name) for name in table.columns)
        lines.append(f"header: [{names}]   # the file has none: these names are guessed")
    return lines


def _node_type(
    draft: _Draft,
    kind: str,
    described: tuple[TableProfile, ColumnProfile] | None,
    end: ColumnProfile,
) -> None:
    """Add users or items, with the columns that describe them."""
    if described is None:
        draft.nodes[kind] = "{}"
        return
    table, key = described
    columns, title = {}, None
    for column in table.columns.values():
        if column is key or column.name == "id":
            continue
        if named(column, TITLE) and title is None and column.kind in ("prose", "label"):
            title, columns[column.name] = column.name, "text"
        elif column.kind == "prose":
            columns[column.name] = "text"
        elif column.kind == "number" and not column.flag and not named(column, KEY):
            columns[column.name] = "number"
        elif column.kind == "written_number":
            columns[column.name] = "number"
            comma = bool(column.values.head(200).str.contains(r",\d{1,2}\D*$").mean())
            _derive(draft, table.name, column.name, _number_of(column.name, comma))
            example = column.values[0]
            draft.doubts.append(f"`{column.name}` is a number written as {example!r}")
        elif column.kind == "time":
            draft.doubts.append(
                f"`{column.name}` of {table.file} is a date and is left out: `derive:` can make a "
                "number of it"
            )
    parts = [f"table: {table.name}", f"id: {_plain(key.name)}"]
    if columns:
        listed = ", ".join(f"{_plain(column)}: {what}" for column, what in columns.items())
        parts.append(f"columns: {{{listed}}}")
    if title is not None:
        parts.append(f"title: {_plain(title)}")
    strange = end.values.unique()
    strange = strange.filter(~strange.is_in(key.values.unique().implode()))
    if len(strange):
        parts.append("unknown: add")
        some = ", ".join(strange.sort().head(3).to_list())
        draft.doubts.append(
            f"{len(strange):,} ids of `{end.name}` are not in {table.file} ({some}): "
            "`unknown: add` keeps them without attributes, `drop` leaves their rows out"
        )
    if key.distinct != len(key.values):
        parts.append("duplicates: first")
        twice = key.values.filter(key.values.is_duplicated()).unique().sort().head(3).to_list()
        draft.doubts.append(
            f"`{key.name}` of {table.file} stands in several rows ({', '.join(twice)}): the first "
            "row counts"
        )
    if key.empty:
        _bad_rows(draft, table, f"{key.empty:,} rows without `{key.name}`")
    draft.nodes[kind] = "{" + ", ".join(parts) + "}"


def _interactions(draft: _Draft, roles: Roles) -> None:
    """Add the relation of interactions, one for each kind of event."""
    table = roles.events
    options = [f"table: {table.name}"]
    options += [
        f"source: {_quote_end('user', roles.user)}",
        f"target: {_quote_end('item', roles.item)}",
    ]
    if (time := roles.time) is not None:
        pattern = f", format: {_quoted(time.format)}" if time.format else ""
        options.append(f"time: {{column: {_plain(time.name)}{pattern}}}")
        draft.unit = time.unit or "s"
        if time.odd:
            _bad_rows(draft, table, f"`{time.name}` holds no time such as {time.odd[0]!r}")
        if time.format in ("%d/%m/%Y", "%m/%d/%Y"):
            draft.doubts.append(
                f"`{time.name}` is read as {time.format}: day and month may be swapped"
            )
    for end in (roles.user, roles.item):
        if end.empty:
            _bad_rows(draft, table, f"{end.empty:,} rows have no `{end.name}`")
    if (weight := roles.weight) is not None:
        options.append(f"weight: {_plain(weight.name)}")
        low = weight.values.cast(pl.Float64, strict=False).min()
        if isinstance(low, float) and low < 0:
            kept = _quoted(f"TRY_CAST({_sql_name(weight.name)} AS DOUBLE) > 0")
            draft.tables[table.name].append(f"where: {kept}   # {weight.name} falls to {low:g}")
            draft.doubts.append(f"rows with {weight.name} <= 0 are left out, as returned goods")
        if weight.odd:
            _bad_rows(draft, table, f"`{weight.name}` holds no number such as {weight.odd[0]!r}")
    extra = [
        column
        for column in table.columns.values()
        if column not in (roles.user, roles.item, roles.time, roles.weight, roles.event)
        and column.kind == "label"
        and column.distinct <= 50
    ]
    if extra:
        listed = ", ".join(f"{_plain(column.name)}: category" for column in extra)
        options.append(f"columns: {{{listed}}}")
    verb = _verb(table, roles)
    if roles.event is None:
        draft.edges[verb] = [*options, f"inverse: rev_{verb}", "interaction: true"]
        return
    column = roles.event
    kinds = column.values.value_counts(sort=True)[column.name].to_list()
    kinds.sort(key=lambda kind: not any(word in kind.lower() for word in BUY.split()))
    draft.doubts.append(
        f"`{column.name}` names {len(kinds)} kinds of events: each is a relation, and the first "
        f"one, {kinds[0]!r}, is predicted"
    )
    for kind in kinds:
        text = kind.replace("'", "''")
        where = "where: " + _quoted(f"{_sql_name(column.name)} = '{text}'")
        name = _name(kind)
        draft.edges[name] = [*options, where, f"inverse: rev_{name}", "interaction: true"]


def _attributes(draft: _Draft, kind: str, table: TableProfile, key: ColumnProfile) -> None:
    """Add a node type and a relation for each attribute of users or items."""
    source = _quote_end(kind, key)
    for column in table.columns.values():
        if column is key or named(column, TITLE):
            continue
        few = not column.unique and column.distinct <= min(MOST, max(20, len(column.values) / 2))
        attribute = _name(column.name)
        if attribute in draft.nodes:
            attribute = f"{kind}_{attribute}"
        line = [f"table: {table.name}", f"source: {source}"]
        if column.kind == "path":
            tree, between = f"{attribute}_tree", str(column.separator)
            options = (
                f"name: category_paths, column: {_plain(column.name)}, between: {_quoted(between)}"
            )
            if table.separator not in (None, ","):
                options += f", separator: {_quoted(str(table.separator))}"
            if table.encoding != "utf-8":
                options += f", encoding: {table.encoding}"
            reading = [f"file: {_plain(table.file)}", f"reader: {{{options}}}", "part: tree"]
            draft.tables[tree] = reading
            draft.nodes[attribute] = "{}"
            draft.edges[f"in_{attribute}"] = [*line, f"target: {_end(attribute, column.name)}"]
            parents = [
                f"table: {tree}",
                f"source: {attribute}.category",
                f"target: {attribute}.parent",
            ]
            draft.edges[f"{attribute}_is_a"] = [*parents, f"inverse: {attribute}_has"]
        elif column.kind == "list":
            draft.nodes[attribute] = "{}"
            split = [] if column.separator is None else [f"split: {_quoted(column.separator)}"]
            draft.edges[f"has_{attribute}"] = [
                *line,
                f"target: {_end(attribute, column.name)}",
                *split,
            ]
        elif column.kind == "label" and few:
            draft.nodes[attribute] = "{}"
            draft.edges[f"has_{attribute}"] = [*line, f"target: {_end(attribute, column.name)}"]
            _alike(draft, table, column)
        elif column.kind == "number" and column.flag:
            draft.nodes[attribute] = "{}"
            draft.edges[f"has_{attribute}"] = [*line, f"target: {_end(attribute, column.name)}"]
        elif column.kind == "label":
            draft.doubts.append(
                f"`{column.name}` of {table.file} is left out: {column.distinct:,} different "
                f"values in {len(column.values):,} rows are too many for an attribute"
            )


def _alike(draft: _Draft, table: TableProfile, column: ColumnProfile) -> None:
    """Bring spellings of a label together that differ in case or spaces only."""
    found = column.values.unique().sort()
    same = found.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    if same.n_unique() < len(found):
        twice = found.filter(same.is_duplicated()).head(3).to_list()
        _derive(draft, table.name, column.name, f"LOWER(TRIM({_sql_name(column.name)}))")
        draft.doubts.append(
            f"values of `{column.name}` differ in case or spaces only "
            f"({', '.join(map(repr, twice))}): `derive:` makes one of them"
        )


def _derive(draft: _Draft, table: str, column: str, sql: str) -> None:
    lines = draft.tables[table]
    entry = f"{_plain(column)}: {_quoted(sql)}"
    for place, line in enumerate(lines):
        if line.startswith("derive: {"):
            lines[place] = f"{line[:-1]}, {entry}}}"
            return
    lines.append(f"derive: {{{entry}}}")


def _number_of(column: str, comma: bool) -> str:
    """Return the SQL that reads a number with a currency."""
    bare = f"REGEXP_REPLACE({_sql_name(column)}, '[^0-9.,-]', '', 'g')"
    text = f"REPLACE(REPLACE({bare}, '.', ''), ',', '.')" if comma else f"REPLACE({bare}, ',', '')"
    return f"TRY_CAST({text} AS DOUBLE)"


def _bad_rows(draft: _Draft, table: TableProfile, why: str) -> None:
    line = "bad_rows: drop"
    if line not in draft.tables[table.name]:
        draft.tables[table.name].append(line)
    draft.doubts.append(f"{table.file}: {why}; `bad_rows: drop` leaves them out and counts them")


def _verb(table: TableProfile, roles: Roles) -> str:
    """Return the name of the relation of interactions."""
    name = table.name.lower()
    if any(word in name for word in BUY.split()) or (roles.weight and "qty" in roles.weight.name):
        return "buys"
    if "rating" in name or (roles.weight is not None and "rating" in roles.weight.name.lower()):
        return "rates"
    for verb in ("click", "view", "play", "read", "visit", "watch", "like", "review"):
        if verb in name:
            return f"{verb}es" if verb == "watch" else f"{verb}s"
    return "interacts"


def _text(name: str, tables: list[TableProfile], draft: _Draft) -> str:
    """Return a draft as YAML with comments."""
    files = ", ".join(f"{table.file} ({table.rows:,} rows)" for table in tables)
    lines = [
        f"# A first card, guessed from {files}.",
        "# Read it, correct it, then: graphrec data build CARD.yaml --raw FOLDER",
    ]
    if draft.doubts:
        lines += ["#", "# Unsure; please look at these:"]
        lines += [f"#   - {doubt}" for doubt in draft.doubts]
    lines += [f"name: {_plain(name)}", "# title: and licence: may be added; nothing needs them", ""]
    lines.append("tables:")
    for table, options in draft.tables.items():
        lines += [f"  {_plain(table)}:", *(f"    {option}" for option in options)]
    lines += ["", "nodes:"]
    lines += [f"  {_plain(kind)}: {options}" for kind, options in draft.nodes.items()]
    lines += ["", "edges:"]
    for relation, options in draft.edges.items():
        lines += [f"  {_plain(relation)}:", *(f"    {option}" for option in options)]
    if draft.unit != "s":
        lines += ["", f"time_unit: {draft.unit}"]
    return "\n".join(lines) + "\n"


def _end(kind: str, column: str) -> str:
    return _plain(f"{kind}.{column}")


def _quote_end(kind: str, column: ColumnProfile) -> str:
    return _end(kind, column.name)


def _name(text: str) -> str:
    """Return a plain name for a node type or a relation."""
    return re.sub(r"\W+", "_", text.strip().lower()).strip("_") or "value"


def _sql_name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _plain(text: str) -> str:
    """Return a text as a YAML scalar, quoted only if it has to be."""
    if PLAIN.fullmatch(text) and text.lower() not in RESERVED:
        return text
    if re.fullmatch(r"[A-Za-z_][\w.*-]*", text) and text.lower() not in RESERVED:
        return text
    return _quoted(text)


def _quoted(text: str | None) -> str:
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10_000)
    return dumped.strip().removesuffix("...").strip()
