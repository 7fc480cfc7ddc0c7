"""Terms of a mixture: what they are called."""

import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.objectives.objective import objective
from graphrec_pt.training.stage import LossTerm


def test_a_label_names_a_module() -> None:
    """Dots are refused before anything is trained: modules cannot have them in their names."""
    built = objective.build("next_item")
    assert LossTerm.checked({"objective": built, "label": "a"}, "term").label == "a"
    with pytest.raises(GraphRecError, match="a name without dots"):
        LossTerm.checked({"name": "next_item", "label": "a.b"}, "term")
