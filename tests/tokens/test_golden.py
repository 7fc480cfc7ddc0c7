"""Each linearizer on a sample written by hand, beside its tokens written by hand."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import concatenate
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.tokens import Tokens

KEY = Key(1)
NODE, REL, TEXT, SPECIAL = Kind.NODE, Kind.RELATION, Kind.TEXT, Kind.SPECIAL
USER, ITEM, BRAND, CODE, BASKET = range(5)
NONE = NO_TIME


def linear(graph: Graph, sample: Any, name: str, **options: Any) -> Tokens:
    return linearizer.build({"name": name, **options}).linearize(graph, sample, KEY)


def is_(tokens: Tokens, **columns: list[Any]) -> None:
    for name, wanted in columns.items():
        found = getattr(tokens, name)
        assert (None if found is None else found.tolist()) == wanted, name


def test_path(shop: Graph, written: Any) -> None:
    # ann rates pen, made by acme, makes ink; and ann rates cup, then nothing.
    sample = written.paths([0, 0, 3, 2, 7, 3, 4], [0, 0, 5], root=[0, 0])
    tokens = linear(shop, sample, "path")
    is_(
        tokens,
        id=[Special.BOS, 0, 0, 3, 2, 7, 3, 4, Special.EOS, Special.BOS, 0, 0, 5, Special.EOS],
        kind=[
            *(SPECIAL, NODE, REL, NODE, REL, NODE, REL, NODE, SPECIAL),
            *(SPECIAL, NODE, REL, NODE, SPECIAL),
        ],
        type=[-1, USER, -1, ITEM, -1, BRAND, -1, ITEM, -1, -1, USER, -1, ITEM, -1],
        ptr=[0, 9, 14],
        position=[0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4],
        hop=[-1, 0, 1, 1, 2, 2, 3, 3, -1, -1, 0, 1, 1, -1],
        parent=[-1, -1, 1, 1, 3, 3, 5, 5, -1, -1, -1, 1, 1, -1],
        relation=[-1, -1, -1, 0, -1, 2, -1, 3, -1, -1, -1, -1, 0, -1],
        time=[*[NONE] * 3, 10, *[NONE] * 5, NONE, NONE, NONE, 20, NONE],
        slot=[0] * 14,
        labels=[IGNORE] * 14,
        edges=None,
        word=None,
    )


def test_path_of_nodes_alone(shop: Graph, written: Any) -> None:
    sample = written.paths([0, 0, 3, 2, 7], [1])
    tokens = linear(shop, sample, "path", relations=False, bos=False, eos=False)
    is_(tokens, id=[0, 3, 7, 1], ptr=[0, 3, 4], parent=[-1, 0, 1, -1], relation=[-1, 0, 2, -1])


def test_path_that_restarts(shop: Graph, written: Any) -> None:
    sample = written.paths([3, 2, 7, -1, 3, 4, 9])  # pen, acme, again pen, code a
    tokens = linear(shop, sample, "path", bos=False, eos=False)
    is_(
        tokens,
        id=[3, 2, 7, 3, 4, 9],
        kind=[NODE, REL, NODE, NODE, REL, NODE],
        parent=[-1, 0, 0, -1, 3, 3],
        relation=[-1, -1, 2, -1, -1, 4],
        hop=[0, 1, 1, 0, 1, 1],
    )


def test_paths_joined(shop: Graph, written: Any) -> None:
    sample = written.paths([0, 0, 3], [0, 0, 5], [1, 0, 4], root=[0, 0, 2], size=4)
    tokens = linear(shop, sample, "path", bos=False, join=True)
    is_(
        tokens,
        id=[0, 0, 3, Special.EOS, 0, 0, 5, Special.EOS, 1, 0, 4, Special.EOS],
        ptr=[0, 8, 8, 12, 12],
        slot=[1, 1, 1, 0, 2, 2, 2, 0, 1, 1, 1, 0],
        parent=[-1, 0, 0, -1, -1, 4, 4, -1, -1, 0, 0, -1],
        position=[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3],
    )


def test_subgraph(shop: Graph, written: Any) -> None:
    # (ann, mug); slot 1: ann → cup → bob; slot 2: ann → cup, ann → ink, cup → bob, ink → bob.
    sample = written.subgraph(
        (0, -1, -1, 0),
        (6, -1, -1, 0),
        (5, 0, 0, 1),
        (1, 2, 1, 1),
        (5, 0, 0, 2),
        (4, 0, 0, 2),
        (1, 4, 1, 2),
        (1, 5, 1, 2),
        (6, 7, 0, 2),
        edges=[[0, 0, 2], [7, 0, 1], [6, 0, 1]],
    )
    tokens = linear(shop, sample, "subgraph", cls=True)
    is_(
        tokens,
        id=[Special.CLS, 0, 6, 5, 1, 5, 4, 1, 6],  # bob once in slot 2
        kind=[SPECIAL, *[NODE] * 8],
        type=[-1, USER, ITEM, ITEM, USER, ITEM, ITEM, USER, ITEM],
        slot=[0, 0, 0, 1, 1, 2, 2, 2, 2],
        hop=[-1, 0, 0, 1, 2, 1, 1, 2, 3],
        parent=[-1, -1, -1, 1, 3, 1, 1, 5, 7],  # mug's is the bob that stays
        relation=[-1, -1, -1, 0, 1, 0, 0, 1, 0],
        time=[NONE, NONE, NONE, 20, 20, 20, 30, 20, 50],
        edges=[[1, 0, 3], [7, 0, 2]],
        ptr=[0, 9],
    )


def test_subgraph_edges_once(shop: Graph, written: Any) -> None:
    # Parallel edges, and edges of tokens that stand for one node; the order stays.
    rows = (0, -1, -1, 0), (5, 0, 0, 1), (4, 0, 0, 1), (5, 0, 0, 1)
    edges = [[0, 0, 3], [0, 0, 2], [2, 1, 0], [0, 0, 1], [0, 0, 2]]
    tokens = linear(shop, written.subgraph(*rows, edges=edges), "subgraph")
    is_(tokens, id=[0, 5, 4], edges=[[0, 0, 1], [0, 0, 2], [2, 1, 0]])


def test_neighbor_set(shop: Graph, written: Any) -> None:
    sample = written.subgraph(
        (3, -1, -1, 0),
        (7, 0, 2, 1),
        (4, 1, 3, 1),
        (9, 0, 4, 1),
        (5, 1, 3, 1),
        score=[0.0, 2.0, 3.0, 1.0, 2.0],
        edges=[[0, 2, 1], [0, 4, 3]],
    )
    tokens = linear(shop, sample, "neighbor_set", size=3)
    is_(
        tokens,
        id=[3, 4, 7, 5],  # acme and cup tie
        position=[0, 1, 2, 3],
        hop=[0, 2, 1, 2],
        parent=[-1, 2, 0, 2],  # ink stands before acme, which led to it
        relation=[-1, 3, 2, 3],
        type=[ITEM, ITEM, BRAND, ITEM],
        edges=[[0, 2, 2]],
    )
    without = linear(shop, sample, "neighbor_set", size=1)
    is_(without, id=[3, 4], parent=[-1, -1], relation=[-1, 3], edges=[])


def test_history(shop: Graph, written: Any) -> None:
    ann = written.subgraph((0, -1, -1, 0), (4, 0, 0, 1), (3, 0, 0, 1), (5, 0, 0, 1))
    bob = written.subgraph((1, -1, -1, 0), (5, 0, 0, 1), (4, 0, 0, 1), (6, 0, 0, 1))
    cat = written.subgraph((2, -1, -1, 0))
    sample = concatenate([ann, cat, bob])
    tokens = linear(shop, sample, "history")
    is_(
        tokens,
        id=[3, 5, 4, 5, 4, 6],  # of bob's two at time 20 the sample's first
        ptr=[0, 3, 3, 6],
        time=[10, 20, 30, 20, 20, 50],
        position=[0, 1, 2, 0, 1, 2],
        parent=[-1] * 6,
        relation=[0] * 6,
        slot=[1] * 6,
    )
    tokens = linear(shop, sample, "history", root=True, window=2, gaps=True, eos=True)
    is_(
        tokens,
        id=[0, 5, 4, Special.EOS, 2, Special.EOS, 1, 4, 6, Special.EOS],
        ptr=[0, 4, 6, 10],
        time=[NONE, 0, 10, NONE, NONE, NONE, NONE, 0, 30, NONE],
        parent=[-1, 0, 0, -1, -1, -1, -1, 0, 0, -1],
        position=[0, 1, 2, 3, 0, 1, 0, 1, 2, 3],
    )


def test_set(shop: Graph, written: Any) -> None:
    full = written.subgraph((12, -1, -1, 0), (3, 0, 8, 1), (5, 0, 8, 1), (3, 0, 8, 1))
    sample = concatenate([full, written.subgraph((13, -1, -1, 0))])
    tokens = linear(shop, sample, "set")
    is_(
        tokens,
        id=[12, 3, 5, 13],
        ptr=[0, 3, 4],
        position=[0, 1, 1, 0],
        parent=[-1, 0, 0, -1],
        relation=[-1, 8, 8, -1],
        type=[BASKET, ITEM, ITEM, BASKET],
    )
    tokens = linear(shop, sample, "set", root=False, cls=True)
    is_(
        tokens,
        id=[Special.CLS, 3, 5, Special.CLS],
        ptr=[0, 3, 4],
        position=[0, 2, 2, 0],
        parent=[-1] * 4,
    )


def test_tree(shop: Graph, written: Any) -> None:
    # pen and ink at the roots: both codes lead to the top, which stands once.
    sample = written.subgraph(
        (3, -1, -1, 0), (9, 0, 4, 1), (11, 1, 6, 1), (4, -1, -1, 0), (10, 3, 4, 1), (11, 4, 6, 1)
    )
    tokens = linear(shop, sample, "tree", cls=True)
    is_(
        tokens,
        id=[Special.CLS, 3, 4, 9, 10, 11],
        position=[0, 1, 1, 2, 2, 3],
        hop=[-1, 0, 0, 1, 1, 2],
        parent=[-1, -1, -1, 1, 2, 3],
        relation=[-1, -1, -1, 4, 4, 6],
    )


def test_template_of_roots(shop: Graph, written: Any) -> None:
    sample = concatenate([written.subgraph((0, -1, -1, 0)), written.subgraph((2, -1, -1, 0))])
    tokens = linear(shop, sample, "template", pattern="(user)-[rates]->(MASK:item)")
    is_(
        tokens,
        id=[0, 0, Special.MASK, 2, 0, Special.MASK],
        kind=[NODE, REL, SPECIAL] * 2,
        type=[USER, -1, ITEM] * 2,
        ptr=[0, 3, 6],
        hop=[0, 1, 1] * 2,
        parent=[-1, 0, 0] * 2,
        relation=[-1, -1, 0] * 2,
        labels=[IGNORE] * 6,
    )


def test_template_of_paths(shop: Graph, written: Any) -> None:
    sample = written.paths([0, 0, 3, 2, 7], [1, 0, 6], [2])
    pattern = "(user)-[rates]->(MASK:item)-[made_by]->(MASK:brand)"
    tokens = linear(shop, sample, "template", pattern=pattern, relations=False)
    mask = Special.MASK
    is_(
        tokens,
        id=[0, mask, mask, 1, mask, mask, 2, mask, mask],
        labels=[IGNORE, 3, 7, IGNORE, 6, IGNORE, IGNORE, IGNORE, IGNORE],
        parent=[-1, 0, 1] * 3,
        type=[USER, ITEM, BRAND] * 3,
    )
    pattern = "(user)-[rates]->(item)-[MASK]->(MASK:brand)"
    tokens = linear(shop, sample, "template", pattern=pattern)  # cat rates nothing: no prompt
    is_(
        tokens,
        id=[0, 0, 3, mask, mask, 1, 0, 6, mask, mask],
        labels=[*[IGNORE] * 3, 2, 7, *[IGNORE] * 5],
        parent=[-1, 0, 0, 2, 2] * 2,
        relation=[-1, -1, 0, -1, -1] * 2,
        ptr=[0, 5, 10, 10],
    )


def test_template_after_its_context(shop: Graph, written: Any) -> None:
    sample = written.subgraph((0, -1, -1, 0), (6, -1, -1, 0), (5, 0, 0, 1), (1, 2, 1, 1))
    pattern = "(user)-[rates]->(MASK:item)"
    tokens = linear(shop, sample, "template", pattern=pattern, context="subgraph")
    is_(
        tokens,
        id=[0, 5, 1, 0, 0, Special.MASK],  # the mug is asked for: not in the context
        parent=[-1, 0, 1, -1, 3, 3],
        labels=[IGNORE] * 5 + [6],
        position=[0, 2, 3, 3, 4, 5],
    )


def test_template_before_its_context(shop: Graph, written: Any) -> None:
    sample = written.subgraph((0, -1, -1, 0), (5, 0, 0, 1), (3, 0, 0, 2))
    pattern = "(user)-[rates]->(MASK:item)"
    tokens = linear(shop, sample, "template", pattern=pattern, context="history", lead=True)
    is_(
        tokens,
        id=[0, 0, Special.MASK, 3, 5],
        kind=[NODE, REL, SPECIAL, NODE, NODE],
        position=[0, 1, 2, 0, 1],  # no place is taken away from the events
        parent=[-1, 0, 0, -1, -1],
        labels=[IGNORE] * 5,
    )


@pytest.mark.parametrize("nodes", [True, False])
def test_text(shop: Graph, written: Any, words: Any, nodes: bool) -> None:
    sample = written.paths([0, 0, 3, 2, 7], [1, 0, 5])
    base = {"name": "path", "bos": False}
    tokens = linear(shop, sample, "text", tokenizer=words, base=base, nodes=nodes)
    eos = Special.EOS
    if nodes:
        is_(
            tokens,
            id=[0, 0, 3, 0, 4, 3, 2, 7, eos, 1, 0, 5, eos],  # pen: a(0) red(4) pen(3)
            kind=[
                NODE,
                REL,
                NODE,
                TEXT,
                TEXT,
                TEXT,
                REL,
                NODE,
                *[SPECIAL, NODE, REL, NODE, SPECIAL],
            ],
            type=[USER, -1, ITEM, -1, -1, -1, -1, BRAND, -1, USER, -1, ITEM, -1],
            ptr=[0, 9, 13],
            parent=[-1, 0, 0, 2, 2, 2, 2, 2, -1, -1, 0, 0, -1],
            word=[0, -1, 1, 1, 1, 1, -1, 2, -1, 0, -1, 1, -1],
            hop=[0, 1, 1, 1, 1, 1, 2, 2, -1, 0, 1, 1, -1],
            time=[*[NONE] * 2, 10, 10, 10, 10, *[NONE] * 5, 20, NONE],
            position=[0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3],
        )
    else:
        is_(
            tokens,
            id=[0, 0, 0, 4, 3, 2, 7, eos, 1, 0, 5, eos],  # cup has no title: keeps its token
            ptr=[0, 8, 12],
            parent=[-1, 0, -1, -1, -1, -1, -1, -1, -1, 0, 0, -1],
            word=[0, -1, 1, 1, 1, -1, 2, -1, 0, -1, 1, -1],
        )


def test_text_of_chosen_columns_cut(shop: Graph, written: Any, words: Any) -> None:
    sample = written.subgraph((7, -1, -1, 0), (3, 0, 3, 1), edges=[[1, 2, 0]])
    options = {"columns": {"item": "title", "brand": "motto"}, "longest": 1}
    tokens = linear(shop, sample, "text", tokenizer=words, base="subgraph", **options)
    is_(tokens, id=[7, 4, 3, 0], parent=[-1, 0, 0, 2], edges=[[2, 2, 0]], word=[0, 0, 1, 1])
    assert torch.equal(tokens.relation, torch.tensor([-1, -1, 3, -1]))
