"""A wrong command or option is answered with the right one."""

import pytest

from graphrec_pt.cli import main


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("train sasrec", "did you mean 'run'?"),
        ("recomend x", "did you mean 'recommend'?"),
        ("recipe list", "did you mean 'ls'?"),
        ("zzz", "try one of compare,"),
        ("run sasrec epochs=3", "try stages.0.epochs=3"),
        ("run sasrec lr=0.1", "try stages.0.optimization.lr=0.1"),
        ("run sasrec precision=bf16", "try options.precision=bf16"),
        ("run sasrec card=movielens-100k", "try data.card=movielens-100k"),
        ("run sasrec metrics=[mrr]", "try evaluate.metrics=[mrr]"),
        ("run sasrec device=cuda", "options.cpu=true keeps to the CPU"),
        ("run sasrec seeds=3", "expected a list, got 3; try [3]"),
        ("run sasrec seedz=[1]", "did you mean 'seeds'?"),
    ],
)
def test_the_hint_names_what_was_meant(
    command: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == 2
    line = capsys.readouterr().err
    assert hint in line
    assert line.count("\n") == 1
