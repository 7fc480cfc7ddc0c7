"""Warm start: what two graphs share goes over, to the row; the rest is as in a new model."""

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.node_features import Features
from graphrec_pt.models.model import Model
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.models.transfer import transfer
from graphrec_pt.models.transformer import GraphTransformer

RICH = {"item": ["id", "static_text", "categorical", "number"], "user": ["id", "number"]}


def trained(model, seed=1):
    """Move all weights away from their first values, zero rows of tables aside."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
        for module in model.modules():
            if getattr(module, "padding_idx", None) is not None:
                module.weight[module.padding_idx] = 0
    return model


def sequences(graph, raw_ids):
    items = list(graph.tables["item"]["id"])
    first = graph.nodes("item").start
    return [[first + items.index(raw) for raw in row] for row in raw_ids]


def without(name):
    def change(plan, tables):
        edges = {key: edge for key, edge in plan.edges.items() if key != name}
        return plan.model_copy(update={"edges": edges}), tables

    return change


def another_catalogue(plan, tables):
    """Rename every item, keep what they are."""
    renamed = {
        "items": tables["items"].with_columns(id="new-" + pl.col("id")),
        "interactions": tables["interactions"].with_columns(item="new-" + pl.col("item")),
    }
    return plan, tables | renamed


@pytest.mark.parametrize(
    ("propagation", "exact"), [(None, True), ("rgcn", False), ("hgt", False), ("compgcn", False)]
)
def test_the_same_data_under_other_numbers(world, model_of, view_of, propagation, exact):
    old, new = world(0), world(9)
    assert list(old.tables["item"]["id"]) != list(new.tables["item"]["id"])
    features = Features(by_type=RICH, propagation=propagation)
    model = trained(model_of(old, features, {"position": 6, "type": None, "relation": None}))
    moved, report = transfer(model, new, seed=3)
    raw = [["i3", "i1", "i7"], ["i0"], ["i11", "i3"]]
    hidden, again = (
        each.encode(view_of(graph, *sequences(graph, raw))).hidden
        for each, graph in ((model, old), (moved, new))
    )
    # Sums over edges go in the order of ids, so they differ in the last bits.
    assert torch.equal(hidden, again) if exact else torch.allclose(hidden, again, atol=1e-5)
    assert report.nodes["item"] == (12, 12)
    assert report.relations == (len(new.schema.relations),) * 2
    assert not report.fresh
    assert not report.lost
    assert moved.training is model.training


def test_another_catalogue_is_known_by_its_content(world, model_of):
    old, new = world(), world(4, another_catalogue)
    content = ["static_text", "categorical", "number"]
    model = trained(model_of(old, {"item": content, "user": ["id"]}))
    moved, report = transfer(model, new)
    at = [list(old.tables["item"]["id"]).index(raw[4:]) for raw in new.tables["item"]["id"]]
    assert torch.equal(moved.table("item"), model.table("item")[at])
    assert report.nodes["item"] == (0, 12)
    assert report.nodes["user"] == (20, 20)
    assert report.categories == {"item.color": (3, 3)}


def test_what_is_not_known_is_as_in_a_new_model(world, model_of):
    def half(plan, tables):
        number = pl.col("id").str.slice(1).cast(pl.Int64)
        names = pl.when(number < 6).then("id").otherwise("new-" + pl.col("id"))
        items = tables["items"].with_columns(id=names, color=pl.col("color").replace("2", "teal"))
        met = tables["interactions"].filter(pl.col("item").is_in(items["id"].implode()))
        return plan, tables | {"items": items, "interactions": met}

    old, new = world(), world(2, half)
    model = trained(model_of(old, RICH))
    moved, report = transfer(model, new, seed=11)
    fresh = Model(moved.config, moved.spec, seed=11)

    ids = "features.of_type.of_item.parts.0.table.weight"
    before, found, first = (m.state_dict()[ids] for m in (model, moved, fresh))
    known = list(old.tables["item"]["id"])
    for row, raw in enumerate(new.tables["item"]["id"]):
        expected = before[known.index(raw)] if raw in known else first[row]
        assert torch.equal(found[row], expected)

    colors = "features.of_type.of_item.parts.2.table.weight"
    before, found, first = (m.state_dict()[colors] for m in (model, moved, fresh))
    assert list(moved.spec.categories["item"]["color"]) == ["0", "1", "teal"]
    assert torch.equal(found[:3], before[:3])  # row 0 is for no value
    assert torch.equal(found[3], first[3])
    assert report.categories["item.color"] == (2, 3)
    assert report.nodes["item"] == (6, 12)


def test_relations_and_types_go_by_name(world, model_of):
    old, new = world(), world(0, without("lives_in"))
    structure = {"position": 6, "type": None, "relation": None}
    count = len(old.schema.relations)
    model = trained(model_of(old, structure=structure, relations=count))
    moved, report = transfer(model, new)
    names = [relation.name for relation in old.schema.relations]
    kept = [names.index(relation.name) for relation in new.schema.relations]
    assert kept != list(range(len(kept)))
    before, after = model.state_dict(), moved.state_dict()
    for weight, first in (
        ("embedding.relation.weight", 0),
        ("backbone.structure.tables.of_relation.weight", 1),
        ("backbone.layers.0.edge_bias.weight", 0),
    ):
        rows = [*range(first), *(first + at for at in kept)]
        assert torch.equal(after[weight], before[weight][rows])
    assert report.relations == (len(kept), len(kept))

    back, report = transfer(moved, old, seed=6)
    fresh = Model(back.config, back.spec, seed=6).state_dict()["embedding.relation.weight"]
    lost = [at for at in range(count) if at not in kept]
    assert torch.equal(back.state_dict()["embedding.relation.weight"][lost], fresh[lost])
    assert report.relations == (len(kept), count)


@pytest.mark.parametrize(
    ("config", "weights", "more"),
    [
        ("rgcn", ["layers.0.weight"], []),
        ({"name": "rgcn", "bases": 2}, ["layers.0.mixture"], []),
        ("hgt", ["layers.0.attention", "layers.0.message", "layers.0.prior"], []),
        ("compgcn", ["vectors"], [-1]),  # the loop is last
    ],
    ids=str,
)
def test_weights_of_relations_in_a_propagation(world, model_of, config, weights, more):
    old, new = world(), world(0, without("lives_in"))
    model = trained(model_of(old, Features(propagation=config)))
    moved, report = transfer(model, new)
    names = [relation.name for relation in old.schema.relations]
    rows = [*(names.index(relation.name) for relation in new.schema.relations), *more]
    before, after = model.state_dict(), moved.state_dict()
    for weight in (f"features.propagate.{name}" for name in weights):
        assert torch.equal(after[weight], before[weight][rows])
    assert not [name for name in report.fresh if "propagate" in name]


def test_node_types_come_and_go(world, model_of):
    def fewer(plan, tables):
        edges = {k: e for k, e in plan.edges.items() if k not in ("part_of", "has_brand")}
        nodes = {k: n for k, n in plan.nodes.items() if k not in ("department", "brand")}
        return plan.model_copy(update={"nodes": nodes, "edges": edges}), tables

    old, new = world(), world(0, fewer)
    model = trained(model_of(old, {"brand": ["id"]}))
    moved, report = transfer(model, new)
    assert "features.of_type.of_brand.parts.0.table.weight" in report.lost
    types = [old.schema.node_index(name) + 1 for name in new.schema.node_names]
    table = "backbone.structure.tables.of_type.weight"
    assert torch.equal(moved.state_dict()[table], model.state_dict()[table][[0, *types]])
    back, report = transfer(moved, old)
    assert "features.of_type.of_brand.parts.0.table.weight" in report.fresh
    assert "brand" in back.spec.node_names


@pytest.mark.parametrize("size", [3, 9])
def test_tables_of_numbers_grow_and_shrink(graph, model_of, size):
    model = trained(model_of(graph))
    moved, _ = transfer(model, graph, structure={"position": size}, seed=5)
    table = "backbone.structure.tables.of_position.weight"
    before, after = model.state_dict()[table], moved.state_dict()[table]
    common = min(size, 6) + 1
    assert after.shape == (size + 1, 8)
    assert torch.equal(after[:common], before[:common])
    fresh = Model(moved.config, moved.spec, seed=5).state_dict()[table]
    assert torch.equal(after[common:], fresh[common:])


def test_room_for_more_types_is_kept(world, model_of):
    model = trained(model_of(world(), structure={"type": 30}))
    moved, _ = transfer(model, world(0, without("lives_in")))
    assert moved.config.backbone.structure == {"type": 30}


def test_other_features_start_anew(world, model_of):
    old, new = world(), world(8)
    model = trained(model_of(old, {"item": ["id", "number"]}))
    _, report = transfer(model, new, features=Features(by_type={"item": ["number", "id"]}))
    parts = "features.of_type.of_item.parts"
    assert f"{parts}.0.map.weight" in report.fresh
    assert f"{parts}.1.table.weight" in report.fresh
    _, report = transfer(model, new, features=Features(by_type={"item": ["id"]}))
    assert f"{parts}.1.map.weight" in report.lost
    assert f"{parts}.0.table.weight" not in report.fresh


def test_a_scale_belongs_to_its_columns(world, model_of):
    def later(plan, tables):
        items = tables["items"].with_columns(year=pl.col("year") + 1000)
        return plan, tables | {"items": items}

    def renamed(plan, tables):
        item = plan.nodes["item"].model_copy(update={"columns": {"born": "number"}, "title": None})
        tables = tables | {"items": tables["items"].rename({"year": "born"})}
        return plan.model_copy(update={"nodes": plan.nodes | {"item": item}}), tables

    model = trained(model_of(world(), {"item": ["number"]}))
    mean = "features.of_type.of_item.parts.0.mean"
    moved, _ = transfer(model, world(0, later))
    assert torch.equal(moved.state_dict()[mean], model.state_dict()[mean])
    moved, report = transfer(model, world(0, renamed))
    assert "features.of_type.of_item.parts.0.map.weight" in report.fresh
    assert moved.state_dict()[mean].item() == pytest.approx(model.state_dict()[mean].item())
    assert moved.state_dict()["features.of_type.of_item.parts.0.learnt"]


def test_the_old_model_is_left_alone(world, model_of):
    model = trained(model_of(world()))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moved, _ = transfer(model, world(3))
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.zero_()
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_the_report_reads_well(world, model_of):
    _, report = transfer(model_of(world(), RICH), world(4, another_catalogue))
    lines = str(report).splitlines()
    assert "nodes item          0 of 12 known" in lines
    assert "values item.color   3 of 3 known" in lines
    assert "as in a new model: features.of_type.of_item.parts.0.table.weight" in lines


def test_refusals(world, graph, model_of):
    config = ModelConfig(backbone=GraphTransformer(width=8))
    with pytest.raises(
        GraphRecError, match="transfer: expected a model that was loaded or has a graph"
    ):
        transfer(Model(config, model_of(graph).spec), graph)

    def bare(plan, tables):
        item = plan.nodes["item"].model_copy(update={"columns": {"year": "number"}, "title": None})
        return plan.model_copy(update={"nodes": plan.nodes | {"item": item}}), tables

    with pytest.raises(GraphRecError, match="static_text: expected a text column on 'item'"):
        transfer(model_of(graph, {"item": ["static_text"]}), world(0, bare))
