"""The short form of benchmarks/fuzz.py: damaged and forged files, each refused or harmless."""

from pathlib import Path

import pytest
from fuzz import FINE, cases
from sections.hostile import TARGETS

COUNTS = {"graphs": 60, "models": 40, "runs": 25, "recipes": 40, "raw": 40, "objects": 40}


@pytest.mark.parametrize("name", COUNTS)
def test_nothing_is_wrong_in_silence(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]()
    target.prepare(tmp_path)
    found = [
        (case, did, result, told)
        for case, did, result, told in cases(target, tmp_path, 11, range(COUNTS[name]))
        if result
    ]
    assert len(found) == COUNTS[name]
    assert [each for each in found if each[2] not in FINE] == []
    assert any(result == "refused" for *_, result, _ in found)


def test_a_wrong_answer_is_a_finding(tmp_path: Path) -> None:
    """The fuzzer itself: a target that answers otherwise, fails or prints is found out."""

    class Wrong:
        answers = iter(["right", "right", "wrong"])

        def damage(self, base: Path, place: Path, draw: object) -> tuple[str, bool]:
            return "nothing", False

        def ask(self, place: Path) -> str:
            return next(self.answers)

    (tmp_path / "one").mkdir()
    found = [result for *_, result, _ in cases(Wrong(), tmp_path, 0, range(3)) if result]
    assert found == ["equal", "another answer", "StopIteration"]
