"""Probes: what a language model knows of the edges of a graph, asked in words, without training.

Penha and Hauff, "What does BERT know about books, movies and music?", RecSys 2020, ask a model to
fill "TITLE is a movie of the … genre" and measure how often a genre of the movie is among its
first k. Here the names of all nodes that the relation can lead to are ranked by their likelihood
in the template's place, and every relation with names at both ends can be asked about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.save import CONFIG, VOCABULARY
from graphrec_pt.predict.likelihood import Likelihood, Names, log_likelihoods
from graphrec_pt.recipe.folder import MODEL
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

SOURCE, TARGET = "{source}", "{target}"


@dataclass(frozen=True)
class Probed:
    """The result of a probe.

    Args:
        sources: Nodes that were asked about.
        targets: Names that were ranked for each.
        recall: k → share of sources with a neighbour among the first k.
        frequency: The same for the order of how often each target occurs, which knows the edges
            but not the source.
        chance: The same for a random order.
    """

    sources: int
    targets: int
    recall: Mapping[int, float]
    frequency: Mapping[int, float]
    chance: Mapping[int, float]


def probe(
    model: Model,
    graph: Graph,
    template: str,
    relation: str,
    k: Sequence[int] = (1, 5),
    *,
    likelihood: Likelihood | None = None,
    sources: int = 500,
    seed: int = 0,
) -> Probed:
    """Return how often a language model names a neighbour, asked by a template.

    Args:
        model: A causal language model with a tokenizer.
        graph: The graph whose edges are asked about.
        template: With ``{source}`` and, behind it, ``{target}``, such as
            ``{source} is a movie of the genre {target}``. What stands behind the target counts
            as a part of its name.
        relation: Name of the relation.
        k: Cut-offs.
        likelihood: How likelihoods become scores: mean over tokens by default, with ``prior`` the
            template without its source is subtracted.
        sources: Nodes asked about at most, drawn by Philox.
        seed: Of the draw.

    Raises:
        GraphRecError: For a template without both places, a relation without edges, and a model
            without words or tokenizer.

    Example:
        >>> template = "{source} is a thing of the brand {target}"
        >>> probe(language_model, train, template, "has_brand", k=(1,)).targets
        2
    """
    before, after = _parts(template)
    chosen, defined = likelihood or Likelihood(), graph.schema.relation(relation)
    if model.tokenizer is None:
        raise GraphRecError("probe", "a model with a tokenizer", "none", "text: backbone")
    edges = graph.edges(relation)
    asked = torch.unique(edges.source)
    if not len(asked):
        raise GraphRecError("probe", f"edges of {relation!r}", "none", "another relation")
    drawn = torch.from_numpy(draw32(Key(seed).named("probe"), asked.numpy()).astype("int64"))
    asked = asked[torch.argsort(drawn)[:sources]].sort().values
    titles, options = (_names(graph, name) for name in (defined.source, defined.target))
    joint = " " if before.endswith(" ") else ""
    names = Names.of([option + after for option in options], model.tokenizer, joint)
    start = graph.nodes(defined.source).start
    prompts = [before.rstrip().replace(SOURCE, titles[int(node) - start]) for node in asked]
    scores = _scores(model, prompts, names)  # [n, V]
    if chosen.prior:
        without = " ".join(before.replace(SOURCE, "").split()) or "."
        scores = scores - chosen.prior * _scores(model, [without], names)
    if chosen.average:
        scores = scores / names.ptr.diff()
    first = graph.nodes(defined.target).start
    row = torch.searchsorted(asked, edges.source)
    known = (row < len(asked)) & (asked[row.clamp(max=len(asked) - 1)] == edges.source)
    true = torch.zeros(scores.shape, dtype=torch.bool)
    true[row[known], edges.target[known] - first] = True
    often = torch.bincount(edges.target - first, minlength=len(options)).double()
    return Probed(
        len(asked),
        len(options),
        _recall(scores, true, k),
        _recall(often.expand(scores.shape), true, k),
        _by_chance(true, k),
    )


def language_model(folder: str | Path, graph: Graph) -> Model:
    """Return the language model in a folder, for a graph.

    Args:
        folder: A run, a saved model, or a language model of Hugging Face.
        graph: The graph.

    Raises:
        GraphRecError: When there is none.
    """
    folder = Path(folder)
    place = folder / MODEL if (folder / MODEL).is_dir() else folder
    if (place / VOCABULARY).exists() and (place / CONFIG).exists():
        return Model.from_pretrained(place)
    backbone: dict[str, Any] = {"name": "hugging_face", "model": str(folder), "words": True}
    return Model.of(graph, backbone={**backbone, "mode": "causal"}, text="backbone").eval()


def _parts(template: str) -> tuple[str, str]:
    before, found, after = template.partition(TARGET)
    if not found or SOURCE not in before or SOURCE in after or TARGET in after:
        hint = '"{source} is a movie of the genre {target}"'
        raise GraphRecError("probe", "a template with {source}, then {target}", template, hint)
    return before, after


def _names(graph: Graph, node_type: str) -> list[str]:
    """Return the titles of the nodes of a type, raw ids where there is none."""
    node, table = graph.schema.node(node_type), graph.tables[node_type]
    raw = table[RAW_ID].cast(pl.String)
    if node.title is None:
        return list(raw)
    titles = table[node.title].cast(pl.String)
    return [title or id for title, id in zip(titles, raw, strict=True)]


def _scores(model: Model, prompts: Sequence[str], names: Names) -> Tensor:
    """Return log p(name | prompt) of every pair: float64 ``[n, V]``."""
    assert model.tokenizer is not None
    ids = model.tokenizer.encode_all(prompts)
    ptr = torch.tensor([0, *map(len, ids)]).cumsum(0)
    tokens = Tokens.of(torch.tensor([id for each in ids for id in each]), Kind.TEXT, ptr)
    count = len(names.ptr) - 1
    row = torch.arange(len(prompts)).repeat_interleave(count)
    name = torch.arange(count).repeat(len(prompts))
    return log_likelihoods(model, tokens, names, row, name).view(len(prompts), count)


def _recall(scores: Tensor, true: Tensor, k: Sequence[int]) -> dict[int, float]:
    """Return the share of rows with a true column among the first k; ties in order of columns."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    hits = true.gather(1, order)
    return {each: float(hits[:, :each].any(1).double().mean()) for each in k}


def _by_chance(true: Tensor, k: Sequence[int]) -> dict[int, float]:
    """Return the expected recall of a random order: ``1 − C(V − m, k) / C(V, k)``."""
    total, many = true.shape[1], true.sum(1).double()
    chances = {}
    for each in k:
        missed = torch.ones_like(many)
        for step in range(min(each, total)):
            missed *= ((total - many - step) / (total - step)).clamp(min=0)
        chances[each] = float((1 - missed).mean())
    return chances
