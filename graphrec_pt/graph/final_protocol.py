"""The protocol that holds nothing out, for a model that serves."""

import numpy as np

from graphrec_pt.core.key import Key
from graphrec_pt.graph.protocol import Events, SplitPart, Stages, protocol


@protocol("final")
class Final:
    """Train on every interaction; nothing is left to validate or to test on.

    Use it after another protocol has chosen the model; :func:`~graphrec_pt.recipe.refit.refit_run`
    does so.

    Args:
        relation: Interaction relation to predict; the first one by default.
    """

    relation: str | None = None

    def assign(self, events: Events, key: Key) -> Stages:
        """Return TRAIN for each event: int8 ``[n]``."""
        return np.full(len(events.source), SplitPart.TRAIN, np.int8)
