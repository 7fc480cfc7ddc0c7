"""The model: its weights are a function of config and seed, its output one of tokens and graph."""

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.node_features import Features
from graphrec_pt.models.model import Model
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import View

RICH = {"item": ["id", "static_text", "number"]}


def weights(model, prefix=""):
    state = model.state_dict()
    return {name: tensor for name, tensor in state.items() if name.startswith(prefix)}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_seed_names_the_weights_and_nothing_else_moves(graph, model_of):
    state = torch.get_rng_state()
    model = model_of(graph, RICH, seed=7)
    assert torch.get_rng_state().equal(state)
    torch.rand(3)
    assert equal(weights(model), weights(model_of(graph, RICH, seed=7)))
    assert not equal(weights(model), weights(model_of(graph, RICH, seed=8)))


def test_another_feature_leaves_the_rest_as_it_was(graph, model_of):
    plain, rich = model_of(graph), model_of(graph, RICH)
    for part in ("backbone.", "embedding."):
        assert weights(plain, part)
        assert equal(weights(plain, part), weights(rich, part))


def test_no_two_parts_share_draws(graph, model_of):
    model = model_of(graph, RICH)
    rows = torch.cat([p.detach() for p in model.parameters() if p.ndim == 2 and p.shape[1] == 8])
    rows = rows[rows.any(1)]  # padding is 0 everywhere
    assert len(rows.unique(dim=0)) == len(rows)


def test_a_token_is_its_features_and_its_places(graph, model_of, view_of):
    """One layer by hand: what goes into the backbone is the table plus structural embeddings."""
    model = model_of(graph, RICH)
    first = graph.nodes("item").start
    seen = {}
    model.backbone.dropout.register_forward_hook(lambda *hook: seen.update(x=hook[2]))
    model.encode(view_of(graph, [0, first + 3], [first]))
    tables = model.backbone.structure.tables
    user, item = model.table("user"), model.table("item")
    place, kind = tables["of_position"].weight[1:], tables["of_type"].weight[1:]
    users, items = (graph.schema.node_index(name) for name in ("user", "item"))
    expected = torch.stack(
        [
            user[0] + place[0] + kind[users],
            item[3] + place[1] + kind[items],
            item[0] + place[0] + kind[items],
        ]
    )
    assert torch.allclose(seen["x"], expected)


def test_sequences_do_not_see_each_other(graph, model_of, view_of):
    model = model_of(graph, RICH)
    together = model.encode(view_of(graph, [0, 21, 22], [], [23, 1])).hidden
    apart = [model.encode(view_of(graph, nodes)).hidden for nodes in ([0, 21, 22], [23, 1])]
    assert torch.allclose(together, torch.cat(apart), atol=1e-6)


def test_a_view_may_ask_for_another_mode(graph, model_of, view_of):
    model = model_of(graph)
    short, long = [0, 21], [0, 21, 22]
    causal, both = (
        [model.encode(view_of(graph, nodes, mode=mode)).hidden[:2] for nodes in (short, long)]
        for mode in ("causal", None)
    )
    assert torch.allclose(*causal, atol=1e-6)
    assert not torch.allclose(*both, atol=1e-6)


def test_the_query_stream_does_not_know_its_token(graph, model_of, view_of):
    model = model_of(graph)
    order = torch.tensor([0, 2, 1])
    views = [view_of(graph, [0, item, 23]) for item in (21, 22)]
    found = [model.encode(View(v.tokens, order=order, two_stream=True)) for v in views]
    assert torch.equal(found[0].query, found[1].query)  # 21 or 22 comes last: nobody sees it
    assert not torch.equal(found[0].hidden[1], found[1].hidden[1])
    with pytest.raises(GraphRecError, match="an order for two streams"):
        model.encode(View(views[0].tokens, two_stream=True))


def test_vectors_by_id_and_by_table_are_the_same(graph, model_of):
    model = model_of(graph, RICH)
    for name in graph.schema.node_names:
        assert torch.allclose(model.nodes(torch.tensor(graph.nodes(name))), model.table(name))


def test_held_vectors_are_made_once_and_learn(graph, model_of):
    model = model_of(graph, RICH).train()
    calls = []
    part = model.features.of_type["of_item"]
    part.register_forward_hook(lambda *hook: calls.append(1))
    with model.cached_embeddings():
        table = model.table("item")
        assert model.table("item") is table
        found = model.nodes(torch.tensor([graph.nodes("item").start + 2]))
        assert len(calls) == 1
    (table[1] + found[0]).sum().backward()
    assert model.features.of_type["of_item"].parts[0].table.weight.grad[:3].any(1).tolist() == [
        False,
        True,
        True,
    ]
    assert model.table("item") is not table


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"features": Features(by_type=RICH, compose="concat", id_dropout=0.25)},
        {"features": Features(propagation={"name": "lightgcn", "layers": 2})},
        {"backbone": GraphTransformer(width=8, structure={"gap": None, "type": 9}), "text": 3},
        {"backbone": {"name": "graph_transformer", "heads": 4, "mode": "causal"}, "prompts": 2},
    ],
)
def test_configs_survive_json(graph, model_of, parts):
    config = ModelConfig(**parts).sized(model_of(graph).spec)
    again = ModelConfig.checked(config.model_dump(mode="json"), "test")
    assert again == config
    assert again.model_dump(mode="json") == config.model_dump(mode="json")


def test_sizes_come_from_the_graph(graph, model_of):
    structure = {"type": None, "relation": None, "kind": None, "position": 4}
    found = model_of(graph, structure=structure).config.backbone.structure
    types, relations = len(graph.schema.nodes), len(graph.schema.relations)
    assert found == {"type": types, "relation": relations, "kind": 5, "position": 4}


def test_binds_to_its_own_graph_only(world, graph, model_of):
    model = model_of(graph, RICH)
    assert model.attach_graph(world()) is model

    def fewer(plan, tables):
        users = tables["users"][:15]
        met = tables["interactions"].filter(pl.col("user").is_in(users["id"].implode()))
        return plan, tables | {"users": users, "interactions": met}

    def renamed(plan, tables):
        items = tables["items"].with_columns(id="x" + pl.col("id"))
        met = tables["interactions"].with_columns(item="x" + pl.col("item"))
        return plan, tables | {"items": items, "interactions": met}

    def unrelated(plan, tables):
        edges = {name: edge for name, edge in plan.edges.items() if name != "lives_in"}
        return plan.model_copy(update={"edges": edges}), tables

    transferred = r"transfer\(model, graph\) for another graph"
    for change, got in (
        (fewer, "got 15 user, 12 item"),
        (renamed, "got user 20 of 20, item 0 of 12"),
        (unrelated, "relations rates, rated_by, has_category"),
    ):
        with pytest.raises(GraphRecError, match=f"model: expected .*{got}.*{transferred}"):
            model.attach_graph(world(0, change))
    with pytest.raises(GraphRecError, match="numbered as there, got user 20 of 20, item 12 of 12"):
        model.attach_graph(world(3))


def test_a_bad_config_says_so(graph):
    for parts, message in (
        ({"backbone": "graph_transformr"}, "did you mean 'graph_transformer'"),
        ({"features": Features(by_type={"itm": ["id"]})}, "did you mean 'item'"),
        ({"backbone": {"name": "graph_transformer", "structure": {"typ": 3}}}, "mean 'type'"),
        ({"backbone": {"name": "graph_transformer", "structure": {"hop": None}}}, "hop: 64"),
    ):
        with pytest.raises(GraphRecError, match=message):
            Model.of(graph, **parts)
    with pytest.raises(GraphRecError, match=r"by_type\.item\.0 featurizer: .*did you mean 'id'"):
        Features(by_type={"item": ["idd"]})
