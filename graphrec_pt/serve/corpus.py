"""Export of the sampled and linearized training sequences of a stage to Parquet files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.store import new_folder
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.objectives.objective import Examples
from graphrec_pt.recipe.data import CACHE, Tell, graph_of, split_of
from graphrec_pt.recipe.folder import Run
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.vocabulary import Vocabulary
from graphrec_pt.training.batches import loader_of
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage

SHARD = 100_000
"""Sequences of a file at most."""
ABOUT = "corpus.json"
NUMBERS = ("slot", "position", "hop", "parent", "time")
"""Fields that stay numbers; see :class:`~graphrec_pt.tokens.tokens.Tokens`."""


def export_corpus(
    run: Run,
    out: str | Path,
    *,
    stage: str | None = None,
    epochs: int = 1,
    shard: int = SHARD,
    raw: str | Path | None = None,
    cache: Path = CACHE,
    tell: Tell | None = None,
) -> list[Path]:
    """Write the sequences of a stage to Parquet files, in the order of its training.

    ``part-00000.parquet``, …, a row for each sequence: ``epoch``; ``root`` (raw id, a list of them
    for pairs and sets); lists with an entry for each token: ``kind``, ``id`` (raw id of a node,
    name of a relation or special token, number of a word), ``type`` (of nodes), and the fields
    that the linearizer fills. The sequences are sampled from the training edges with the first seed
    of the run, before any objective masks or changes tokens. ``corpus.json`` records the origin.

    Args:
        run: The run of the recipe.
        out: A new folder.
        stage: Name of the stage; the first one by default.
        epochs: Number of epochs to write.
        shard: Rows of a file at most.
        raw: Folder of raw files; without it they are downloaded.
        cache: Where downloads are kept.
        tell: Called with a sentence about each step.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists, for an unknown stage, and for data other than those
            of the run.
    """
    chosen, out = _stage(run, stage), new_folder(out)
    graph = graph_of(run.recipe.data, raw, cache=cache, tell=tell)
    known = str(run.metrics["data"]["fingerprint"])
    if graph.fingerprint != known:
        expected = f"the data of the run (graph {known[:12]})"
        raise GraphRecError("export corpus", expected, graph.fingerprint[:12], "another --raw")
    train, seed = split_of(run.recipe.data, graph).train, run.recipe.seeds[0]
    words = run.recipe.model.tokenizer(train)
    read = chosen if words is None else chosen.with_words(words, len(words))
    names: list[str] = []
    rows = 0
    with finished_folder(out) as made:
        writer: Any = None
        for table in _tables(train, read, seed, epochs, tell):
            while len(table):
                room = shard - rows % shard
                if writer is None:
                    names.append(f"part-{len(names):05d}.parquet")
                    writer = pq.ParquetWriter(made / names[-1], table.schema)
                part, table = table.slice(0, room), table.slice(room)
                writer.write_table(part)
                rows += len(part)
                if len(part) == room:
                    writer.close()
                    writer = None
        if writer is not None:
            writer.close()
        about = {
            "stage": chosen.model_dump(mode="json"),
            "epochs": epochs,
            "seed": seed,
            "rows": rows,
            "graph": train.fingerprint,
        }
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [out / name for name in names]


def _stage(run: Run, name: str | None) -> Stage:
    known = {stage.name: stage for stage in run.recipe.stages}
    if name is None:
        return run.recipe.stages[0]
    if name not in known:
        hint = did_you_mean(name, known)
        raise GraphRecError("--stage", "a stage of the recipe", repr(name), hint)
    return known[name]


def _tables(graph: Graph, stage: Stage, seed: int, epochs: int, tell: Tell | None) -> Iterator[Any]:
    """Yield the sequences of each batch as an Arrow table."""
    loader = loader_of(stage, graph, Options(seed=seed))
    prepared: Any = loader.batches.transform
    loader.batches.transform = prepared.examples  # before objectives change anything
    written = _Written(graph, stage)
    for epoch in range(epochs):
        steps = loader.steps(epoch) * stage.accumulate
        for step, examples in enumerate(loader.epoch(epoch)):
            if tell is not None:
                tell("writing the corpus", epoch * steps + step, epochs * steps)
            yield written(examples, epoch)


class _Written:
    """Turns tokens into tables with raw ids and names.

    Args:
        graph: The graph of the nodes and relations.
        stage: The stage; its linearizer decides which fields are filled.
    """

    def __init__(self, graph: Graph, stage: Stage) -> None:
        vocabulary = Vocabulary.of(graph)
        self.raw = vocabulary.nodes[RAW_ID]
        self.types = pl.Series(vocabulary.node_types, dtype=pl.String)
        self.relations = pl.Series(vocabulary.relation_names, dtype=pl.String)
        self.kinds = pl.Series([kind.name for kind in Kind])
        self.specials = pl.Series([special.name for special in Special])
        self.fields = stage.reads.makes.fields

    def __call__(self, examples: Examples, epoch: int) -> Any:
        """Return a row for each sequence."""
        tokens = examples.tokens
        columns = {"kind": _named(self.kinds, tokens.kind), "id": self._ids(tokens)}
        columns["type"] = _named(self.types, tokens.type)
        if "relation" in self.fields:
            columns["relation"] = _named(self.relations, tokens.relation)
        if "labels" in self.fields:
            columns["label"] = self._labels(tokens)
        for name in NUMBERS:
            if name in self.fields:
                numbers = pl.Series(getattr(tokens, name).numpy())
                columns[name] = numbers.set(numbers == NO_TIME, None)
        lists = {name: _lists(tokens.ptr, column) for name, column in columns.items()}
        count = pa.array([epoch] * len(tokens), pa.int32())
        return pa.table({"epoch": count, "root": self._roots(examples), **lists})

    def _ids(self, tokens: Tokens) -> pl.Series:
        kind, names = pl.Series(tokens.kind.numpy()), pl.Series(tokens.id.numpy()).cast(pl.String)
        for which, known in (
            (Kind.NODE, self.raw),
            (Kind.RELATION, self.relations),
            (Kind.SPECIAL, self.specials),
        ):
            named = _named(known, torch.where(tokens.kind == which, tokens.id, -1))
            names = pl.select(pl.when(kind == which).then(named).otherwise(names)).to_series()
        return names

    def _labels(self, tokens: Tokens) -> pl.Series:
        """Return the labels: nodes where a token has a type, else relations."""
        node = _named(self.raw, torch.where(tokens.type >= 0, tokens.labels, -1))
        relation = _named(self.relations, torch.where(tokens.type < 0, tokens.labels, -1))
        return pl.select(pl.coalesce(node, relation)).to_series()

    def _roots(self, examples: Examples) -> Any:
        roots, owner = examples.roots, examples.owner
        if isinstance(roots, Sets):
            roots = roots[owner]
            return _lists(roots.ptr, _named(self.raw, roots.node))
        roots = roots[owner]
        named = _named(self.raw, roots.flatten())
        if roots.ndim == 1:
            return named.to_arrow()
        return _lists(torch.arange(len(roots) + 1) * roots.shape[1], named)


def _named(names: pl.Series, ids: Tensor) -> pl.Series:
    """Return names by their numbers, null for those below 0."""
    places = pl.Series(ids.numpy())
    return names.gather(places.set(places < 0, None))


def _lists(ptr: Tensor, values: pl.Series) -> Any:
    return pa.LargeListArray.from_arrays(pa.array(ptr.numpy()), values.to_arrow())
