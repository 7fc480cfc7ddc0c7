"""Mention edges: which nodes the texts of other nodes name, for the ``link:`` of a card."""

import re
from collections.abc import Mapping

import polars as pl

from graphrec_pt.core.printable import counted
from graphrec_pt.data.plan import LinkPlan
from graphrec_pt.data.problems import Problems, shown
from graphrec_pt.data.rows import SOURCE, TARGET
from graphrec_pt.data.titles import TitleFinder, plain_words


def linked_rows(
    name: str, link: LinkPlan, details: Mapping[str, pl.DataFrame], problems: Problems
) -> pl.DataFrame:
    """Return one row for each node that a text names.

    Names that are too short, and by default those of several nodes, link to none; notes count
    them.

    Args:
        name: The relation.
        link: What is looked for, and where.
        details: Node type → rows of its table, column ``id`` first.
        problems: Where names that are left out are noted.

    Returns:
        Columns ``__source`` and ``__target`` of raw ids.
    """
    kind, _, column = link.finds.partition(".")
    owner, names = _names(link, details[kind], column)
    finder = TitleFinder(names, link.shortest)
    short = {plain for each in names if (plain := plain_words(each))} - set(finder.names)
    _tell(name, short, f"shorter than {link.shortest} letters", "`shortest`", problems)
    reached = {plain: {owner[at] for at in found} for plain, found in finder.names.items()}
    shared = {plain for plain, nodes in reached.items() if len(nodes) > 1}
    if link.ambiguous == "none":
        _tell(name, shared, f"of several nodes of type {kind!r}", "`ambiguous: all`", problems)
    kind, _, column = link.text.partition(".")
    table = details[kind]
    sources: list[int] = []
    targets: list[int] = []
    for place, text in enumerate(table[column].cast(pl.String).fill_null("")):
        for match in finder.find(text):
            nodes = sorted({owner[at] for at in match.name})
            if len(nodes) == 1 or link.ambiguous == "all":
                sources += [place] * len(nodes)
                targets += nodes
    ends = table["id"][sources], details[link.finds.partition(".")[0]]["id"][targets]
    return pl.DataFrame({SOURCE: ends[0], TARGET: ends[1]})


def _names(link: LinkPlan, table: pl.DataFrame, column: str) -> tuple[list[int], list[str]]:
    """Return the row of every name, and the names."""
    owner: list[int] = []
    names: list[str] = []
    for each in (column, *link.also):
        for row, text in enumerate(table[each].cast(pl.String)):
            parts = (
                [text] if link.split is None or each == column else (text or "").split(link.split)
            )
            for part in parts:
                owner.append(row)
                names.append(re.sub(link.without or r"(?!)", "", part or ""))
    return owner, names


def _tell(name: str, left: set[str], why: str, option: str, problems: Problems) -> None:
    if left:
        some = ", ".join(shown(each) for each in sorted(left)[:3])
        names = counted(len(left), "name")
        problems.note(f"link.{name}: {names} {why} ({some}) link to nothing; {option} changes that")
