"""What is damaged and how it is asked: graphs, models, runs, recipes, raw files, objects."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import torch
import yaml

from graphrec_pt import GraphRecError, Key, Model, from_pretrained, save_graph
from graphrec_pt.cli.tables import recommended_table, run_notes, run_tables
from graphrec_pt.data.card import card_files, load_card
from graphrec_pt.data.describe import describe
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.assemble import fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import open_graph
from graphrec_pt.recipe.files import check_recipe, load_recipe, recipe_files
from graphrec_pt.recipe.folder import measured_again, open_run
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.training.checkpoint import load_checkpoint
from graphrec_pt.training.tracking import read_metrics
from sections.hostile_inputs import Objects, Raw
from sections.mutations import BYTES, damage_folder, odd_value

SAMPLERS: tuple[Any, ...] = (
    {"name": "random_walk", "length": 6, "walks": 4},
    {"name": "node2vec", "length": 6, "walks": 4},
    {"name": "ppr"},
    {"name": "k_hop"},
    {"name": "ego"},
    {"name": "mcn"},
    {"name": "history"},
    {"name": "tree"},
)
ODD_TITLE = "[/bold] \x1b[31m[link=http://x]\u202e{0}"
TINY = {
    "name": "tiny",
    "title": "Tiny",
    "model": {
        "backbone": {
            "name": "graph_transformer",
            "width": 16,
            "layers": 1,
            "heads": 2,
            "mode": "causal",
            "structure": {"position": 50},
        }
    },
    "stages": [
        {
            "name": "train",
            "sampler": {"name": "history", "window": 50},
            "linearizer": "history",
            "objectives": [{"name": "next_item"}],
            "batch": 32,
            "epochs": 1,
        }
    ],
    "evaluate": {"baselines": ["popularity"], "metrics": ["ndcg@10"]},
    "options": {"cpu": True},
}


class Target(Protocol):
    """Something that opens what strangers wrote."""

    def prepare(self, base: Path) -> None:
        """Make what is damaged, in a new folder."""
        ...

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Put a damaged copy at `place`; say what was done, and whether digests were forged."""
        ...

    def ask(self, place: Path) -> Any:
        """Return the answer to a question that reads all of it; JSON values."""
        ...


def shop(seed: int) -> Graph:
    """Return a small graph whose titles are commands."""
    graph = synthetic_graph(60, 40, 700, clusters=4, key=Key(seed))
    items = graph.tables["item"]
    column = next(c for c, kind in graph.schema.node("item").columns.items() if kind == "text")
    odd = [ODD_TITLE.format(number) for number in range(len(items))]
    tables = {**graph.tables, "item": items.with_columns(pl.Series(column, odd))}
    from dataclasses import replace

    made = replace(graph, tables=tables, folder=None)
    return replace(made, fingerprint=fingerprint(made))


class Graphs:
    """Folders of graphs: opened, described, sampled, every table read."""

    def prepare(self, base: Path) -> None:
        """Save two graphs of one shape."""
        for seed, name in enumerate(("one", "two")):
            save_graph(shop(seed), base / name)

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Damage a copy of the first one."""
        shutil.copytree(base / "one", place)
        return damage_folder(place, base / "two", draw)

    def ask(self, place: Path) -> Any:
        """Return the fingerprint of the content, its description, and samples."""
        graph = open_graph(place)
        told = describe(graph).to_dict()
        user = graph.nodes(graph.schema.interaction().source)
        roots = torch.arange(user.start, min(user.start + 8, user.stop))
        samples: list[object] = []
        for config in SAMPLERS:
            try:
                sample = sampler.build(config).sample(graph, roots, Key(3))
            except GraphRecError as error:
                samples.append(str(error))
                continue
            nodes = getattr(sample, "node", None)
            nodes = getattr(sample, "nodes", None) if nodes is None else nodes
            if isinstance(nodes, torch.Tensor):
                inside = (nodes >= -1) & (nodes < graph.num_nodes())
                assert bool(inside.all()), f"{config['name']} returned nodes that do not exist"
                samples.append(nodes.sum().item())
        return [fingerprint(graph), told, samples, dict(graph.edge_offset), graph.num_edge_ids]


class Models:
    """Folders of models: loaded, and asked for vectors of nodes."""

    def prepare(self, base: Path) -> None:
        """Save two models of one shape."""
        graph = shop(0)
        for seed, name in enumerate(("one", "two")):
            by_type = {"item": ["id", "static_text"], "*": ["id"]}
            features = Features.checked({"by_type": by_type}, "features")
            backbone = TINY["model"]["backbone"]  # type: ignore[index]
            model = Model.of(graph, backbone=backbone, features=features, seed=seed)
            model.attach_graph(graph).save_pretrained(base / name)

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Damage a copy of the first one."""
        shutil.copytree(base / "one", place)
        return damage_folder(place, base / "two", draw)

    def ask(self, place: Path) -> Any:
        """Return sums of weights and vectors, and the config."""
        model = Model.from_pretrained(place)
        assert model.vocabulary is not None
        sums = {name: float(value.double().sum()) for name, value in model.state_dict().items()}
        with torch.no_grad():
            vectors = float(model.table("item").double().square().sum())
        names = model.vocabulary.nodes.hash_rows().sum()
        return [sums, vectors, names, repr(model.config)]


class Runs:
    """Folders of runs: measured again, asked for recommendations, their checkpoints loaded."""

    def prepare(self, base: Path) -> None:
        """Train two tiny runs on the same data."""
        save_graph(shop(0), base / "graph")
        for seed, name in enumerate(("one", "two")):
            content = {**TINY, "data": {"graph": str(base / "graph")}, "seeds": [seed]}
            run_recipe(Recipe.checked(content, "tiny"), base / name)

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Damage a copy of the first one."""
        shutil.copytree(base / "one", place)
        return damage_folder(place, base / "two", draw)

    def ask(self, place: Path) -> Any:
        """Return its metrics, tables and recommendations."""
        run = measured_again(open_run(place))
        from graphrec_pt.cli.printing import Terminal

        terminal = Terminal()
        with terminal.capture() as shown:
            for table in run_tables(run):
                terminal.print(table)
            for note in run_notes(run):
                terminal.print(note)
            recommender = from_pretrained(run)
            for given in recommender.recommend(["u1", "u5"], 5, explain=True):
                terminal.print(recommended_table(given, recommender))
        assert "\x1b" not in shown.get(), "a control character"
        metrics = {name: run.metrics.get(name) for name in ("valid", "test", "baselines", "data")}
        checkpoint = load_checkpoint(place / "checkpoint")
        return [metrics, shown.get(), checkpoint.step, len(read_metrics(place))]


class Recipes:
    """Recipes and cards: validated."""

    def prepare(self, base: Path) -> None:
        """Collect those that ship."""
        base.mkdir(parents=True, exist_ok=True)

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Write a damaged recipe or card."""
        place.mkdir()
        recipe = draw.random() < 0.7
        file = draw.choice(list(recipe_files() if recipe else card_files()))
        raw = file.read_bytes()
        if draw.random() < 0.7:
            content = yaml.safe_load(raw)
            for _ in range(draw.choice([1, 1, 2, 4])):
                content = odd_value(content, draw)
            try:
                raw = yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")
            except (RecursionError, yaml.YAMLError):
                raw = b"a: " + b"[" * 500
        else:
            raw = draw.choice(BYTES)(raw, draw)
        (place / ("recipe.yaml" if recipe else "card.yaml")).write_bytes(raw)
        return f"{file.name}", True

    def ask(self, place: Path) -> Any:
        """Say whether it is right."""
        if (place / "card.yaml").exists():
            return load_card(place / "card.yaml").name
        check_recipe(place / "recipe.yaml")
        return json.dumps(load_recipe(place / "recipe.yaml").resolved())[:10]


TARGETS: dict[str, Callable[[], Target]] = {
    "graphs": Graphs,
    "models": Models,
    "runs": Runs,
    "recipes": Recipes,
    "raw": Raw,
    "objects": Objects,
}
