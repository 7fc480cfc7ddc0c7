"""Every component that a recipe can name is named by one: in its stages, its header or its card."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import card_files, load_card
from graphrec_pt.graph.derive import derivation
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.families import FAMILIES
from graphrec_pt.recipe.files import load_recipe, recipe_files
from graphrec_pt.training.trainer import Trainer

NAMED = """reader protocol derivation sampler linearizer identifier featurizer propagation backbone
           adaptor prompt objective strategy schedule task"""
"""Families whose members stand in recipes and cards. Objectives build heads, and tasks choose
metrics and baselines, so that no recipe has to name these."""
TEXT = "belongs to a recipe over texts that is not written yet"
WAITING = {
    "reader category_paths": "no shipped card has files of category paths",
    "protocol final": "trains on all events for serving, after a model was chosen: refit",
    "sampler ego": TEXT,
    "featurizer image": "belongs to a recipe over posters that is not written yet",
    "featurizer sequence": "needs earlier events beside the predicted relation, as in MIND",
    "objective distillation": TEXT,
}
"""Members without a recipe, each with the reason; this list may only shrink."""


def parts_of(value: Any) -> Iterator[object]:
    """Yield a config and everything inside it."""
    yield value
    if isinstance(value, BaseModel):
        inner = [getattr(value, name) for name in type(value).model_fields]
    elif is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, each.name) for each in fields(value)]
    elif isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    else:
        return
    for each in inner:
        yield from parts_of(each)


def overrides_of(header: str) -> list[str]:
    """Return the changes that the header of a recipe offers: ``key=value``, maybe in quotes."""
    text = " ".join(line.removeprefix("#") for line in header.splitlines() if line.startswith("#"))
    found = re.findall(r"""["`](\w[\w.]*=[^"`]+)["`]|(?<![\w"`])(\w+(?:\.\w+)+=\S+)""", text)
    changes = [one or other.replace("'", "").rstrip(",;.)`") for one, other in found]
    return [re.sub(r"\s+", " ", change) for change in changes]


@cache
def used() -> frozenset[type]:
    """Return the classes of all components that the shipped recipes and cards name."""
    found: list[object] = []
    for file in recipe_files():
        name = file.name.removesuffix(".yaml")
        found += parts_of(load_recipe(name))
        for change in overrides_of(file.read_text(encoding="utf-8")):
            try:
                found += parts_of(load_recipe(name, [change]))
            except GraphRecError:
                continue  # offered together with others, or with a folder of the reader's own
    for file in card_files():
        card = load_card(file.name.removesuffix(".yaml"))
        found += [*parts_of(card), *(derivation.build(each) for each in card.derive)]
    return frozenset(type(each) for each in found)


def test_changes_of_headers_are_read() -> None:
    header = '# Try x, y\n#   "stages.0.objectives=[permuted]", `a.b=c`\n#   one.two=3 z=4\nname: x'
    assert overrides_of(header) == ["stages.0.objectives=[permuted]", "a.b=c", "one.two=3"]


@pytest.mark.parametrize("family", NAMED.split())
def test_every_member_has_a_recipe(family: str) -> None:
    registry = FAMILIES[family].registry
    members = {name: registry.get(name) for name in registry.names()}
    ours = {name for name, each in members.items() if each.__module__.startswith("graphrec_pt.")}
    without = {f"{family} {name}" for name in ours if members[name] not in used()}
    assert without <= set(WAITING)
    assert {name for name in WAITING if name.startswith(f"{family} ")} <= {
        f"{family} {name}" for name in ours
    }


CHANGES = [
    ("unisrec", "stages.1.strategy.adaptor=moe", 1),
    ("s3rec", "finetune_extra", 1),
    ("sasrec", "data.split=ratio", 0),
    ("graphpro", "data.split=global_time", 0),
    ("transformers4rec", "name: session", 0),
    ("pmgt", "name: ppr", 0),
    ("g_bert", "name: ontology", 0),
    ("pearlm", "name: transition", 0),
    ("liu2023c", "name: rgcn", 0),
    ("liu2023c", "name: hgt", 0),
    ("sac", "[fusion]", 0),
    ("resetbert4rec", "[next_sentence]", 0),
    ("resetbert4rec", "[sentence_order]", 0),
    ("ppr", "prompt=soft_tokens", 1),
    ("ppr", "prompt=prefix", 1),
    ("node2vec", "name: random_walk", 0),
    ("gcc", "loss_form: info_nce", 0),
    ("gpt_gnn", "[{name: masked_feature", 0),
    ("unilmv2", "[pseudo_masked]", 0),
    ("graphpro", "name=prompt_tune", 1),
]


@pytest.mark.parametrize(("name", "part", "stage"), CHANGES)
def test_what_a_header_offers_trains(
    name: str, part: str, stage: int, raw: Path, small: Any
) -> None:
    file = next(each for each in recipe_files() if each.name == f"{name}.yaml")
    (change,) = [c for c in overrides_of(file.read_text(encoding="utf-8")) if part in c]
    recipe = small(name, change)
    graph = split_of(recipe.data, graph_of(recipe.data, raw)).train
    model = Model.of(graph, **dict(recipe.model), seed=0)
    short = {"steps": 2, "batch": 16, "patience": 0}
    stages = [each.model_copy(update=short) for each in recipe.stages[: stage + 1]]
    before = {each: weight.clone() for each, weight in model.state_dict().items()}
    Trainer(cpu=True).fit(model, graph, stages)
    after = model.state_dict()
    assert all(bool(weight.isfinite().all()) for weight in after.values())
    assert any(not torch.equal(weight, after[each]) for each, weight in before.items())
