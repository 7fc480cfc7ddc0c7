"""Cards on the real files, where a copy of them lies beside the repository."""

from pathlib import Path

import pytest

from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.graph.graph import Graph

DATA = Path(__file__).parents[3] / "shared" / "data"
# Card → folder, published counts.
REAL: dict[str, tuple[str, dict[str, int]]] = {
    "amazon-2014": ("musical_instruments", {"user": 1429, "item": 900, "reviews": 10261}),
    "amazon-2014-aspects": ("musical_instruments", {"reviews": 10261, "mentions": 35458}),
    "amazon-beauty": (
        "amazon_beauty",
        {
            "user": 22363,
            "item": 12101,
            "attribute": 637,
            "buys": 198502,
            "also_bought": 891182,
            "also_viewed": 155350,
            "bought_together": 9021,
            "in_category": 49756,
            "category": 248,
            "has_brand": 10021,
            "brand": 2077,
        },
    ),
    "ask-ubuntu-tags": ("askubuntu_tags", {"question": 271233, "tag": 3029}),
    "diginetica": ("diginetica", {"item": 43097}),
    "mimic-iii": ("mimic3_demo", {"user": 100, "visit": 129, "diagnosed": 1761}),
    "mind": ("mind_subset", {"impression": 5000}),
    "movielens-100k": ("movielens_100k", {"user": 943, "item": 1682, "rates": 100000}),
    "movielens-1m-kg": ("movielens_1m_kg", {"user": 6040, "item": 2983, "watches": 932293}),
    "movietweetings": (
        "movietweetings",
        {"user": 4333, "item": 2414, "rates": 68055, "genre": 23},
    ),
    "online-retail": ("online_retail", {"user": 4339, "item": 3665, "country": 37}),
    "opendialkg": ("opendialkg", {"turn": 7923, "item": 2965}),
    "polyvore-outfits": ("polyvore", {"outfit": 16983 + 2697, "category": 120}),
    "recbole": (
        "movielens_100k/recbole_kg",
        {"user": 943, "item": 1682, "interacts": 100000, "linked": 91631, "same_as": 1598},
    ),
    "redial": ("redial", {"dialogue": 901 + 1342, "item": 6924}),
    "retailrocket": ("retail_rocket", {"user": 2174, "item": 30113, "linked": 304537}),
    "tripadvisor": ("tripadvisor_context", {"user": 2371, "item": 2269, "rates": 14175}),
    "uci-restaurant": ("uci_restaurant", {"user": 138, "item": 130, "rates": 1161}),
    "msn-news": ("msn_news", {"news": 500, "category": 14, "in_category": 500}),
    "xrec": ("xrec", {"explanation": 9000, "likes": 9000, "site": 3}),
    "yelp-sequences": (
        "yelp",
        {"user": 30431, "item": 20033, "attribute": 1001, "visits": 316354},
    ),
    "yoochoose": ("yoochoose_100k", {"item": 2933}),
}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}")
_graphs: dict[str, Graph] = {}


def real(name: str) -> Graph:
    folder = DATA / REAL[name][0]
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} in {DATA}")
    if name not in _graphs:
        _graphs[name] = build_card(load_card(name), folder)
    return _graphs[name]


def count(graph: Graph, name: str) -> int:
    return graph.num_nodes(name) if name in graph.schema.node_names else graph.num_edges(name)


@pytest.mark.parametrize("name", sorted(REAL))
def test_published_counts(name: str) -> None:
    graph = real(name)
    expected = REAL[name][1]
    assert {key: count(graph, key) for key in expected} == expected
    assert graph.provenance["unexpected"] == {}


@pytest.mark.parametrize(
    ("name", "relation", "pairs"),
    [("amazon-beauty", "buys", 114582), ("yelp-sequences", "visits", 219632)],
)
def test_unique_consecutive_pairs_before_the_held_out_items(
    name: str, relation: str, pairs: int
) -> None:
    graph = real(name)
    edges = graph.edges(relation)
    assert edges.time is not None
    degree = graph.degree(relation)[edges.source - graph.nodes("user").start]
    kept = edges.time < degree - 2
    source, target = edges.source[kept], edges.target[kept]
    follows = source[1:] == source[:-1]
    found = set(zip(target[:-1][follows].tolist(), target[1:][follows].tolist(), strict=True))
    assert len(found) == pairs


def test_merged_orders_keep_their_number() -> None:
    graph = real("mimic-iii")
    for relation, rows in {"prescribed": 10398, "treated_by": 506}.items():
        weight = graph.edges(relation).weight
        assert weight is not None
        assert int(weight.sum()) == rows


@pytest.mark.parametrize(
    ("name", "relation", "parts"),
    [
        ("movielens-1m-kg", "watches", {"train": 556989, "valid": 190063, "test": 185241}),
        ("retailrocket", "buys", {"train": 9551, "test": 2174}),
    ],
)
def test_published_splits(name: str, relation: str, parts: dict[str, int]) -> None:
    split = real(name).edge_tables[relation]["split"].value_counts()
    assert dict(split.rows()) == parts


@pytest.mark.parametrize(
    ("name", "sessions"), [("yoochoose", 17794), ("diginetica", 186670)], ids=str
)
def test_published_training_sessions(name: str, sessions: int) -> None:
    graph = real(name)
    edges = graph.edges("clicks")
    train = graph.edge_tables["clicks"]["split"].to_numpy() == "train"
    own = edges.edge - graph.edge_offset["clicks"]
    assert len(set(edges.source[train[own.numpy()]].tolist())) == sessions


def test_published_triples() -> None:
    graph = real("movielens-1m-kg")
    relations = [r.name for r in graph.schema.relations if r.target == "entity"]
    assert len(relations) == 11
    assert sum(graph.num_edges(relation) for relation in relations) == 205521


def test_sequence_ids_leak_only_in_the_raw_files() -> None:
    """Raw ids follow first appearance; the permuted ids must not."""
    graph = real("amazon-beauty")
    edges = graph.edges("buys")
    assert edges.time is not None
    degree = graph.degree("buys")[edges.source - graph.nodes("user").start]
    last = edges.time == degree - 1
    before = edges.time == degree - 2
    step = edges.target[last] - edges.target[before]
    raw = [int(graph.raw_id(v)) for v in edges.target[last].tolist()]
    raw_before = [int(graph.raw_id(v)) for v in edges.target[before].tolist()]
    assert sum(b == a + 1 for a, b in zip(raw_before, raw, strict=True)) > 500
    assert int((step == 1).sum()) < 20


def test_films_from_three_folders(tmp_path: Path) -> None:
    files = [
        *(DATA / "movielens_100k").glob("u.*"),
        DATA / "movielens_100k_text" / "details.jsonl.gz",
        DATA / "movie_posters" / "movielens_100k.csv",
    ]
    for file in files:
        if not file.is_file():
            pytest.skip(f"no {file.name} in {DATA}")
        (tmp_path / file.name).symlink_to(file)
    graph = build_card(load_card("movielens-100k-films"), tmp_path)
    assert {name: count(graph, name) for name in ("user", "item", "rates")} == {
        "user": 943,
        "item": 1682,
        "rates": 100000,
    }
    items = graph.tables["item"]
    assert items["poster"].count() == 1615
    assert 1400 < items["description"].count() <= 1591
