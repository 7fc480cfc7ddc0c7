"""Cards: every mistake at once, names that are guessed, paths that are no cards."""

from pathlib import Path

import pytest

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.data.card import load_card, parse_card

LEAST = "{name: mine, tables: {}, nodes: {}, edges: {}}"
WRONG = """
nam: x
tables: {log: {file: a.csv, typs: {}}, bad: 5}
nodes: {user: {titel: x}, item: {title: nope}}
edges:
  a: {table: lgo, source: usr.u, target: item.i}
  b: {table: log, source: user.u, target: item.i, interactoin: true, split: ',', bins: [1]}
  c: {source: user.u}
core: {relation: zzz}
"""


def test_a_card_for_oneself_needs_neither_title_nor_licence() -> None:
    card = parse_card(LEAST, "mine.yaml")
    assert (card.title, card.licence.name) == ("", "not stated")


def test_every_mistake_of_a_card_is_told_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_card(WRONG, "c.yaml")
    said = sorted(str(caught.value).splitlines())
    assert said == sorted(
        [
            "c.yaml tables.bad: expected options and their values, got 5",
            "c.yaml: expected a known option, got 'edges.b.interactoin'; "
            "did you mean 'interaction'?",
            "c.yaml: expected a known option, got 'nam'; did you mean 'name'?",
            "c.yaml: expected a known option, got 'nodes.user.titel'; did you mean 'title'?",
            "c.yaml: expected a known option, got 'tables.log.typs'; did you mean 'types'?",
            "c.yaml: expected the option 'edges.c.table', got nothing",
            "c.yaml: expected the option 'edges.c.target', got nothing",
            "c.yaml: expected the option 'name', got nothing",
            "core.relation: expected an edge, got 'zzz'; try one of a, b",
            "edges.a.source: expected a node type, got 'usr'; did you mean 'user'?",
            "edges.a.table: expected a table of the card, got 'lgo'; did you mean 'log'?",
            "edges.b: expected one way to make targets, got ['bins', 'split']",
            "nodes.item.title: expected a column, got 'nope'",
        ]
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("moviels-100k", "did you mean 'movielens-100k'"),
        ("qqq", "try `graphrec data ls`, or the path of a card in YAML"),
        ("orders.csv", "try a card in YAML that reads it; datasets/tables.yaml is the shortest"),
        ("gone.yaml", "expected an existing file, got 'gone.yaml'"),
    ],
)
def test_what_is_no_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text("user,item\n")
    with pytest.raises(GraphRecError) as caught:
        load_card(name)
    assert said in str(caught.value)
