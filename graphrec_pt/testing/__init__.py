"""Floor 14: what every component promises, as checks that the author of a plug-in runs.

The library's own conformance tests call the same functions, so a promise is written once. A check
returns nothing and raises :class:`BrokenPromise`, which says what was promised.

Example:
    >>> from graphrec_pt.testing import check_sampler, example_graph
    >>> graph = example_graph()
    >>> check_sampler("history", graph, roots="user", drawn=False)
"""

from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.evaluations import check_baseline, check_metric, check_task
from graphrec_pt.testing.graphs import example_graph, example_split
from graphrec_pt.testing.linearizers import check_linearizer
from graphrec_pt.testing.networks import check_featurizer, check_propagation
from graphrec_pt.testing.objectives import check_objective
from graphrec_pt.testing.promise import BrokenPromise
from graphrec_pt.testing.protocols import check_protocol
from graphrec_pt.testing.samplers import check_sampler
from graphrec_pt.testing.schedules import check_schedule
from graphrec_pt.testing.strategies import check_strategy

__all__ = [
    "BrokenPromise",
    "check_baseline",
    "check_config",
    "check_featurizer",
    "check_linearizer",
    "check_metric",
    "check_objective",
    "check_propagation",
    "check_protocol",
    "check_sampler",
    "check_schedule",
    "check_strategy",
    "check_task",
    "example_graph",
    "example_split",
]
