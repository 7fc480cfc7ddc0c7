"""A run of the task `conversation`: responses of a model, and the page of dialogues."""

import re
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.report.write import write_report


def cheap(small: Any, *changes: str) -> Any:
    steps = [f"stages.{number}.steps=2" for number in range(4)]
    return small("unicrs", *steps, "evaluate.scratch=false", *changes)


def test_responses_and_their_page(raw: Path, tmp_path: Path, small: Any) -> None:
    done = run_recipe(cheap(small), tmp_path / "run", raw=raw)
    outcome = done.outcomes["test"]
    assert outcome.policy["responses"] == "model"
    assert set(done.metrics["baselines"]) == {
        "popularity",
        "repeat",
        "mention_knn",
        "linked_items",
    }
    assert outcome.table["reference"].str.starts_with("You may like Film").all()
    assert set(done.metrics["other_policy"]) <= {"mask"}
    page = write_report(done).read_text(encoding="utf-8")
    assert "Left out" not in page
    section = re.search(r'<section aria-labelledby="dialogues">.*?</section>', page, re.DOTALL)
    assert section is not None
    text = section.group()
    assert text.count('<article class="dialogue"') == 6
    assert 'Do you know a film by <mark class="entity">Person' in text
    assert '<mark class="held">Film' in text  # in the reference
    assert "The model wrote the responses." in text


def test_a_stage_without_hidden_edges_is_refused(small: Any) -> None:
    with pytest.raises(GraphRecError, match=r"no held-out turn is learned.*roots: the predicted"):
        cheap(small, "stages.3.roots=null")
