"""Warm start: copy the weights of a trained model into a model of another graph."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.categorical import CategoricalFeature
from graphrec_pt.features.featurizer import Feature
from graphrec_pt.features.node_features import EVERY, Features
from graphrec_pt.features.number import NumberFeature
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.layer import Layer
from graphrec_pt.models.model import Model
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.models.positions import StructuralEmbedding
from graphrec_pt.tokens.vocabulary import Vocabulary

M = TypeVar("M", bound=Model)


Hits = tuple[int, int]
"""Number of matches, and number of all."""


@dataclass(frozen=True)
class Report:
    """What the new model took over from the old one; ``str`` gives a readable summary.

    Args:
        nodes: Node type → nodes of the new graph with a raw id that the old one had.
        relations: Relations of the new graph that the old one had, with the same ends.
        categories: ``"type.column"`` → values of category features that the old model knew.
        tensors: Weights of the new model that the old one filled, whole or in part.
        fresh: Weights of the new model that are as in a new one.
        lost: Weights of the old model that have no place in the new one.
    """

    nodes: Mapping[str, Hits]
    relations: Hits
    categories: Mapping[str, Hits]
    tensors: Hits
    fresh: tuple[str, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        counts = {
            **{f"nodes {name}": hits for name, hits in self.nodes.items()},
            "relations": self.relations,
            **{f"values {name}": hits for name, hits in self.categories.items()},
            "weights": self.tensors,
        }
        width = max(map(len, counts))
        digits = max(len(f"{hits:,}") for hits, _ in counts.values())
        lines = [
            f"{name:{width}}  {hits:{digits},} of {total:,} known"
            for name, (hits, total) in counts.items()
        ]
        lines += [f"as in a new model: {name}" for name in self.fresh]
        return "\n".join([*lines, *(f"left behind: {name}" for name in self.lost)])


def transfer(
    model: M,
    graph: Graph,
    *,
    features: Features | None = None,
    structure: Mapping[str, int] | None = None,
    seed: int = 0,
) -> tuple[M, Report]:
    """Return a model for another graph that takes over every weight that still applies.

    Rows of tables go to nodes of the same type and raw id, to relations and node types of the
    same name, to categories of the same column and value, and to the same number where a number
    is all they have (positions, slots). What reads content (text, vectors, the same number
    columns) and the layers of the backbone go as they are; so do heads, where relations, node
    types and categories have the same names. The rest is as in a new model.

    Args:
        model: Bound or loaded; left as it is.
        graph: To bind the new model to.
        features: In place of those of the old model, whose weights go to features of the same
            kind at the same place in the list of a node type.
        structure: New sizes of structural columns, e.g. of ``position`` for longer sequences.
        seed: Seed of the weights of what the model does not know.

    Returns:
        The new model, on the device and in the mode of the old one, and what was matched.

    Raises:
        GraphRecError: When the model was never bound, and when its features find nothing to read
            in the graph.
    """
    if model.vocabulary is None:
        hint = "model.attach_graph(graph)"
        raise GraphRecError("transfer", "a model that was loaded or has a graph", "none", hint)
    vocabulary = Vocabulary.of(graph)
    matched = vocabulary.match(model.vocabulary)
    spec = GraphSpec.of(graph)
    config = _config_for(spec, model, features, structure or {})
    new = type(model)(config, spec, seed, model.tokenizer)
    hits = _carry(model, _rows(model, model.vocabulary), new, _rows(new, vocabulary))
    if _named_alike(model.spec, new.spec):
        new.heads = deepcopy(model.heads)
    new.usage = model.usage
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    gain = None if new.embedding.gain is None else new.embedding.gain.detach().clone()
    new.to(device).train(model.training).attach_graph(graph)
    if gain is not None and new.embedding.gain is not None:
        new.embedding.gain.data.copy_(gain)  # a first graph would have set it
    return new, Report(
        nodes=matched.counts,
        relations=(int((matched.relations >= 0).sum()), len(matched.relations)),
        categories=_categories(new, model),
        tensors=(sum(hit > 0 for hit in hits.values()), len(hits)),
        fresh=tuple(name for name, hit in hits.items() if not hit),
        lost=tuple(name for name in _shared(model) if name not in hits),
    )


def _config_for(
    spec: GraphSpec,
    model: Model,
    features: Features | None,
    structure: Mapping[str, int],
) -> ModelConfig:
    """Return the config for another graph: sizes that depend on the graph are read again."""
    config = model.config
    network: Any = config.backbone
    types = len(model.spec.nodes), len(spec.nodes)
    relations = len(model.spec.relations), len(spec.relations)
    changes: dict[str, Any] = {}
    if getattr(network, "relations", 0):
        changes["relations"] = _resized(network.relations, *relations)
    if sizes := getattr(network, "structure", {}):
        counts_of = {"type": types, "relation": relations}
        counts_of = {name: counts for name, counts in counts_of.items() if name in sizes}
        anew = {name: _resized(sizes[name], *counts) for name, counts in counts_of.items()}
        changes["structure"] = {**sizes, **anew, **structure}
    if changes and is_dataclass(network):
        network = replace(network, **changes)  # type: ignore[type-var]
    if features is None:
        by_type = {
            name: configs
            for name, configs in config.features.by_type.items()
            if name == EVERY or name in spec.node_names
        }
        features = config.features.model_copy(update={"by_type": by_type})
    return config.model_copy(update={"backbone": network, "features": features})


def _named_alike(a: GraphSpec, b: GraphSpec) -> bool:
    """Return whether relations, node types and categories, which size some heads, are the same."""
    mine, other = (o.model_dump(include={"nodes", "relations", "categories"}) for o in (a, b))
    return mine == other


def _resized(size: int, before: int, now: int) -> int:
    """Return the graph's size, or a larger one that the config sets."""
    return now if size == before else max(size, now)


def _rows(model: Model, vocabulary: Vocabulary) -> dict[str, pl.Series]:
    """Return row names by name of the weight; other weights match rows by number."""
    relations = [f"{name}: {source} → {target}" for name, source, target in vocabulary.relations]
    rows = {"embedding.relation.weight": pl.Series(relations, dtype=pl.String)}
    for node_type, path, part in _features(model):
        raw_ids = vocabulary.nodes.filter(type=node_type)[RAW_ID]
        rows |= {f"{path}.{name}": found for name, found in part.row_names(raw_ids).items()}
    if model.features.propagate is not None:
        found = model.features.propagate.row_names()
        rows |= {f"features.propagate.{name}": names for name, names in found.items()}
    if model.prompt is not None:
        found = model.prompt.row_names()
        rows |= {f"prompt.{name}": names for name, names in found.items()}
    known = {"type": vocabulary.node_types, "relation": relations}
    for path, module in model.backbone.named_modules():
        if isinstance(module, StructuralEmbedding):
            for name, size in module.sizes.items():  # row 0 is for none
                table = f"backbone.{path}.tables.of_{name}.weight"
                rows[table] = _named(["", *known.get(name, ())], size + 1)
        if isinstance(module, Layer) and module.edge_bias is not None:
            size = module.edge_bias.num_embeddings
            rows[f"backbone.{path}.edge_bias.weight"] = _named(relations, size)
    return rows


def _features(model: Model) -> Iterator[tuple[str, str, Feature]]:
    """Yield (node type, path, feature)."""
    for node_type in model.features.names:
        path = f"of_type.of_{node_type}.parts"
        for number, part in enumerate(model.features.get_submodule(path).children()):
            assert isinstance(part, Feature)
            yield node_type, f"features.{path}.{number}", part


def _named(names: Sequence[str], size: int) -> pl.Series:
    """Return names of rows; spare rows beyond the names get their number as name."""
    return pl.Series([*names, *(f"row {n}" for n in range(len(names), size))], dtype=pl.String)


def _carry(
    old: Model, known: Mapping[str, pl.Series], new: Model, rows: Mapping[str, pl.Series]
) -> dict[str, int]:
    """Copy matching rows into the weights of a model; return how many rows of each."""
    sources, strange = _shared(old), _changed_features(old, new)
    filled = {}
    for name, target in _shared(new).items():
        source = sources.get(name)
        filled[name] = 0
        if source is None or source.shape[1:] != target.shape[1:] or name.startswith(strange):
            continue
        if name in rows and name in known:
            at = _places(rows[name], known[name])
            _check_names(name, len(rows[name]), len(target))
            hit = (at >= 0).nonzero().squeeze(1)
            target[hit] = source[at[hit].to(source.device)].to(target)
            filled[name] = len(hit)
        elif source.shape == target.shape:
            target.copy_(source)
            filled[name] = max(source.ndim and len(source), 1)
    return filled


def _shared(model: Model) -> dict[str, Tensor]:
    """Return the weights of a model, those of its heads left out."""
    return {n: w for n, w in model.state_dict().items() if not n.startswith("heads.")}


def _changed_features(old: Model, new: Model) -> tuple[str, ...]:
    """Return the paths of features whose class or number columns differ from the old model's."""
    before = {path: part for _, path, part in _features(old)}
    return tuple(
        f"{path}."
        for _, path, part in _features(new)
        if type(part) is not type(before.get(path))
        or (isinstance(part, NumberFeature) and part.columns != before[path].columns)
    )


def _places(names: pl.Series, known: pl.Series) -> Tensor:
    """Return where each name stands among the known ones: int64 ``[n]``, −1 for nowhere."""
    places = known.to_frame("name").with_row_index("place")
    matched = names.to_frame("name").join(places, on="name", how="left", maintain_order="left")
    return torch.from_numpy(matched["place"].cast(pl.Int64).fill_null(-1).to_numpy().copy())


def _check_names(weight: str, names: int, rows: int) -> None:
    if names != rows:
        raise GraphRecError("transfer", f"names of the {rows} rows of {weight}", f"{names} names")


def _categories(new: Model, old: Model) -> dict[str, Hits]:
    """Return, for each column that category features read, how many values were known."""
    before = {path: part for _, path, part in _features(old)}
    hits_of: dict[str, Hits] = {}
    for node_type, path, part in _features(new):
        if isinstance(part, CategoricalFeature):
            was = before.get(path)
            known = was.values if isinstance(was, CategoricalFeature) else {}
            for name, values in part.values.items():
                hits = len(set(values) & set(known.get(name, ())))
                hits_of[f"{node_type}.{name}"] = hits, len(values)
    return hits_of
