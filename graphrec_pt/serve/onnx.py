"""Export of what ranks as one ONNX file, which runs without torch and this library.

A causal transformer over histories is exported whole. Of another model whose scores are inner
products, such as one with a co-occurrence prior, the last step is exported, with users' vectors.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import cast
from warnings import catch_warnings, simplefilter

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.store import new_folder
from graphrec_pt.kernels.attention import Sight
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.layer import Frame
from graphrec_pt.models.token_embedding import GAP, structure_of
from graphrec_pt.models.transformer import Transformer
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import serving_of
from graphrec_pt.sampling.history import HistorySampler
from graphrec_pt.serve.products import Products, products_of
from graphrec_pt.tokens.history import HistoryLinearizer
from graphrec_pt.tokens.tokens import Tokens

MODEL, ITEMS, ABOUT = "model.onnx", "items.parquet", "model.json"
QUERIES, TERMS = "queries.parquet", "terms.parquet"
WHO = "export onnx"


class PaddedHistories(nn.Module):
    """A causal transformer over padded histories: the modules of a model once the graph is read.

    Padding follows the events, so that the causal mask hides it from them.

    Args:
        backbone: The trained layers.
        head: Scores the catalogue.
        vectors: ``[V, D]``, input vectors of the items.
        places: ``[W, D]``, position vectors of a history of W events.
    """

    vectors: Tensor
    places: Tensor

    def __init__(
        self, backbone: Transformer, head: ItemHead, vectors: Tensor, places: Tensor
    ) -> None:
        super().__init__()
        self.layers, self.norm, self.head = backbone.layers, backbone.norm, head
        self.register_buffer("vectors", vectors)
        self.register_buffer("places", places)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores of the catalogue after each history: ``[B, V]``.

        Args:
            items: int64 ``[B, L]`` in ``[0, V)``, oldest first; any item behind the end.
            lengths: int64 ``[B]`` in ``[1, L]``, events of each history.
        """
        x = self.vectors[items] + self.places[: items.shape[1]]  # [B, L, D]
        frame = Frame(lengths, Sight(causal=True), attend=_causal)
        for layer in self.layers:
            x = layer(x, frame)
        at = (lengths - 1).view(-1, 1, 1).expand(-1, 1, x.shape[2])
        last = self.norm(x.gather(1, at).squeeze(1))  # [B, D]
        scores: Tensor = self.head(last, self.vectors)
        return scores


class ScoredByProducts(nn.Module):
    """Inner products of queries with the items, and a term for a few items of each query.

    Args:
        table: ``[V, D]``, the item vectors.
    """

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(
        self, query: Tensor, keys: Tensor | None = None, terms: Tensor | None = None
    ) -> Tensor:
        """Return the scores of the catalogue: ``[B, V]``.

        Args:
            query: float32 ``[B, D]``.
            keys: int64 ``[B, N]``, items with a term; 0 where there is none.
            terms: float32 ``[B, N]``, added to the scores of these items; 0 where there is none.
        """
        scores = query @ self.table.T  # [B, V]
        if keys is None or terms is None:
            return scores
        return scores.scatter_add(1, keys, terms)


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention over padded sequences: ``[B, L, H, d]``."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # [B, H, L, d]
    return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def export_onnx(run: Run, out: str | Path) -> list[Path]:
    """Write what ranks the catalogue to ONNX, item vectors included.

    ``model.onnx`` returns ``scores`` ``[B, V]``, including those of items in the history;
    ``items.parquet`` has the raw ``id`` of each ``key``. ``model.json`` says what it takes.

    A model that reads histories of items alone takes ``items`` int64 ``[B, L]`` (keys, oldest
    first, padded at the end) and ``lengths`` int64 ``[B]``, any B, any L up to the window.

    Another one takes ``query`` float32 ``[B, D]`` from ``queries.parquet`` and, with a
    co-occurrence prior, ``keys`` int64 and ``terms`` float32 ``[B, N]`` from ``terms.parquet``,
    padded with key 0 and term 0. Users that the run does not know need the library.

    Args:
        run: The run of the model.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists, the packages are not installed, and for a model
            that does not rank by inner products.
    """
    out = new_folder(out)
    _check_installed()
    predictor = serving_of(run).predictor
    try:
        padded = padded_histories(predictor)
    except GraphRecError:  # it reads more than histories of items
        return _export_products(products_of(run, WHO), out)
    with finished_folder(out) as made:
        window = len(padded.places)
        batch, events = (
            torch.export.Dim("batch", max=1 << 20),
            torch.export.Dim("events", max=window),
        )
        example = (
            torch.zeros(2, min(window, 3), dtype=torch.int64),
            torch.ones(2, dtype=torch.int64),
        )
        shapes = {"items": {0: batch, 1: events}, "lengths": {0: batch}}
        _write(padded, example, shapes, made / MODEL)
        graph = predictor.graph
        raw = [graph.raw_id(node) for node in predictor.reading.items]
        pl.DataFrame({"key": range(len(raw)), "id": raw}).write_parquet(made / ITEMS)
        about = {"inputs": ["items", "lengths"], "output": "scores", "window": len(padded.places)}
        about |= {"items": len(raw), "width": predictor.model.width}
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [out / name for name in (MODEL, ITEMS, ABOUT)]


def _export_products(products: Products, out: Path) -> list[Path]:
    """Write the last step of a model: products of vectors, and the terms of a few items."""
    inputs = ["query"] if products.prior is None else ["query", "keys", "terms"]
    names = [MODEL, ITEMS, QUERIES, *([TERMS] if products.prior is not None else []), ABOUT]
    with finished_folder(out) as made:
        batch, pairs = torch.export.Dim("batch", max=1 << 20), torch.export.Dim("pairs")
        width = products.queries.shape[1]
        example = torch.zeros(2, width), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3)
        axes = {"query": {0: batch}, "keys": {0: batch, 1: pairs}, "terms": {0: batch, 1: pairs}}
        shapes = {name: axes[name] for name in inputs}
        _write(ScoredByProducts(products.table), example[: len(inputs)], shapes, made / MODEL)
        products.item_table().write_parquet(made / ITEMS)
        products.user_table().write_parquet(made / QUERIES)
        if products.prior is not None:
            products.term_table().write_parquet(made / TERMS)
        about: dict[str, object] = {"inputs": inputs, "output": "scores", "edges": products.edges}
        about |= {"items": len(products.items), "width": width}
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [out / name for name in names]


def _write(
    module: nn.Module,
    example: tuple[Tensor, ...],
    shapes: dict[str, dict[int, torch.export.Dim]],
    file: Path,
) -> None:
    with catch_warnings():
        simplefilter("ignore")  # torch warns of its own modules and of axis names
        torch.onnx.export(
            module,
            example,
            file,
            input_names=list(shapes),
            output_names=["scores"],
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def padded_histories(predictor: Predictor) -> PaddedHistories:
    """Return the part of a trained model that reads histories, on its own.

    Raises:
        GraphRecError: For a model that reads more than the items of a history in their order.
    """
    model, reading = predictor.model.cpu(), predictor.reading
    taught, backbone = reading.taught, model.backbone
    found, sampler = taught.ranking(), taught.sampler
    readout = found.readout
    if not isinstance(readout, QueryReadout) or (readout.where, readout.mode) != ("last", "causal"):
        raise _refused("a stage that learns the next item", ", ".join(taught.objectives))
    head = reading.head(found)
    for expected, fits, got in (
        ("a graph_transformer", isinstance(backbone, Transformer), type(backbone).__name__),
        ("the sampler history", isinstance(sampler, HistorySampler), type(sampler).__name__),
        (
            "the linearizer history",
            isinstance(taught.linearizer, HistoryLinearizer),
            type(taught.linearizer).__name__,
        ),
        ("no prompt", model.prompt is None, "one"),
        ("scores that are products", readout.prior is None, "a term from links between items"),
        ("a head of items", isinstance(head, ItemHead), type(head).__name__),
    ):
        if not fits:
            raise _refused(expected, got)
    backbone, head = cast(Transformer, backbone), cast(ItemHead, head)
    if backbone.config.rotary or GAP in backbone.config.structure:
        raise _refused("learned places alone", "rotary ones or times")
    if len(cast(HistorySampler, sampler).relations or (reading.relation.name,)) > 1:
        raise _refused("one sort of events", "several")
    if taught.linearizer.names_root:
        raise _refused("sequences of items alone", "others", "root: false, eos: false")
    tokens = _longest(predictor)
    if not bool((tokens.kind == tokens.kind[0]).all()) or tokens.parent.max() >= 0:
        raise _refused("sequences of items alone", "others", "root: false, eos: false")
    with torch.no_grad():
        zeros = torch.zeros(len(tokens.id), model.width)
        places = backbone.structure(zeros, structure_of(tokens, backbone.config.structure))
        vectors = model.table(reading.relation.target)
    return PaddedHistories(backbone, head, vectors.float(), places).eval()


def _longest(predictor: Predictor) -> Tokens:
    """Return one history as long as the window."""
    reading = predictor.reading
    sampler, linearizer = reading.taught.sampler, reading.taught.linearizer
    windows = cast(HistorySampler, sampler).window, cast(HistoryLinearizer, linearizer).window
    window = min(limit for limit in windows if limit is not None)
    return reading.tokens_of_events([torch.full((window,), reading.items.start)])


def _refused(expected: str, got: str, hint: str = "--to embeddings") -> GraphRecError:
    return GraphRecError(WHO, expected, got, hint)


def _check_installed() -> None:
    for package in ("onnx", "onnxscript"):
        try:
            import_module(package)
        except ImportError as error:
            hint = "pip install 'graphrec-pt[onnx]'"
            raise GraphRecError(WHO, f"the package {package}", "none", hint) from error
