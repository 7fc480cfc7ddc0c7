"""Checks of stages against a graph before sampling starts; one error lists all mistakes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.tokens.linearizer import require
from graphrec_pt.training.batches import roots_of
from graphrec_pt.training.stage import Stage


def check_stages(stages: Sequence[Stage], graph: Graph) -> None:
    """Raise unless every objective of every stage finds what it needs in tokens and graph.

    Raises:
        GraphRecError: For tokens that the linearizer does not make, types, relations and
            metapaths that the graph does not have, hard prompts that are none, and roots that
            the sampler cannot take.
    """
    spec = GraphSpec.of(graph)
    errors: list[GraphRecError] = []
    if not stages:
        raise GraphRecError("trainer", "at least one stage", "none")
    for stage in stages:
        here = f"stage {stage.name!r}"
        for term in stage.objectives:
            needs = term.objective.needs
            with _gathering(errors, here):
                require(term.label, stage.reads, needs.kinds, needs.fields)
            with _gathering(errors, f"{here} {term.label}"):
                term.objective.check(spec)
        with _gathering(errors, here):
            stage.reads.check(graph)
        with _gathering(errors, here):
            stage.strategy.check(stage.reads)
            if stage.strategy.init_embeddings_from is not None:
                spec.node_index(stage.strategy.init_embeddings_from.node_type)
        with _gathering(errors, here):
            roots, _ = roots_of(graph, stage.sampler, stage.roots)
            stage.sampler.sample(graph, roots[torch.zeros(1, dtype=torch.int64)], Key(0))
    raise_all(errors)


@contextmanager
def _gathering(found: list[GraphRecError], here: str) -> Iterator[None]:
    """Collect the errors of a block, prefixed with the place in the stage."""
    try:
        yield
    except ConfigErrors as errors:
        found += [_placed(error, here) for error in errors.errors]
    except GraphRecError as error:
        found.append(_placed(error, here))


def _placed(error: GraphRecError, here: str) -> GraphRecError:
    known = error.who == "graph" or here.endswith(f" {error.who}")
    who = here if known else f"{here} {error.who}"
    return GraphRecError(who, error.expected, error.got, error.hint)
