"""What is shown of a run: by hand, with a clock of our own."""

import io
import json
import logging
import re

import pytest
import torch
from rich.console import Console

from graphrec_pt.training.progress import Meter, Progress, Summary, progress


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_meter_by_hand() -> None:
    clock = Clock()
    meter = Meter(100, start=20, clock=clock)
    clock.now += 2
    meter.add({"mnp": 3.0, "mep": torch.tensor(0.5, requires_grad=True)}, 300, 0.25)  # room 400
    clock.now += 2
    meter.add({"mnp": torch.tensor(1.0)}, 100, 0.5)  # room 200
    assert meter.take(22) == Summary(
        step=22,
        total=100,
        losses={"mnp": 2.0, "mep": 0.5},
        rate=100.0,
        waste=1 - 400 / 600,
        left=4 / 2 * 78,
    )
    clock.now += 1
    meter.add({"mep": 1.0}, 50, 0.0)
    found = meter.take(23)
    assert (found.losses, found.rate, found.waste) == ({"mep": 1.0}, 50.0, 0.0)
    assert found.left == pytest.approx(5 / 3 * 77)


def test_a_meter_without_steps() -> None:
    clock = Clock()
    empty = Meter(10, clock=clock).take(0)
    assert (empty.losses, empty.rate, empty.waste, empty.left) == ({}, 0.0, 0.0, None)
    meter = Meter(10, clock=clock)
    meter.add({}, 0, 0.0)
    assert meter.take(1).waste == 0.0


def test_a_summary_reads_well() -> None:
    summary = Summary(5, 10, {"mnp": 2.34567, "mep": 0.5}, 12345.6, 0.0412, 3725.4)
    assert str(summary) == ("mnp 2.346 · mep 0.5 · 12,346 tokens/s · 4.1% padding · 1:02:05 left")
    assert str(Summary(0, 10, {}, 0.0, 0.0, None)) == "0 tokens/s · 0.0% padding"


def row(step: int, loss: float, left: float | None = 0.0) -> Summary:
    return Summary(step, 9, {"mnp": loss}, 10.0, 0.1, left)


def test_it_shows_the_last_row_every_few_seconds_and_at_the_end() -> None:
    clock = Clock()
    seen: list[Summary] = []
    shown = Progress(seen.append, every=10, clock=clock)
    for step in range(1, 8):
        clock.now += 4
        shown.step(step)
        shown.row(row(step, float(step)))
    assert [(each.step, each.losses["mnp"]) for each in seen] == [(3, 3.0), (6, 6.0)]
    shown.close()
    shown.close()
    assert [each.step for each in seen] == [3, 6, 7]
    Progress(seen.append, every=10, clock=clock).close()  # nothing happened
    assert len(seen) == 3


def test_a_row_goes_on_after_a_checkpoint() -> None:
    """The means are those of a meter that was never stopped, to the bit."""
    losses = [torch.tensor(value) for value in (0.1, 0.7, 1.3)]
    whole, first, rest = Meter(9), Meter(9), Meter(9)
    for each in losses:
        whole.add({"mnp": each}, 7, 0.3)
    first.add({"mnp": losses[0]}, 7, 0.3)
    rest.load(json.loads(json.dumps(first.state())))
    for each in losses[1:]:
        rest.add({"mnp": each}, 7, 0.3)
    expected, found = whole.take(3), rest.take(3)
    assert (found.losses, found.waste) == (expected.losses, expected.waste)


def test_lines_of_log_without_a_terminal(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with caplog.at_level(logging.INFO), progress(9, every=0, console=console) as shown:
        shown.row(row(1, 2.0))
        shown.row(row(2, 1.5))
    assert [record.name for record in caplog.records] == ["graphrec_pt.training.progress"] * 2
    assert caplog.records[1].message == (
        "step 2 of 9: mnp 1.5 · 10 tokens/s · 10.0% padding · 0:00:00 left"
    )
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
    assert capfd.readouterr() == ("", "")


def test_the_last_line_comes_even_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> None:
        console = Console(file=io.StringIO(), force_terminal=False)
        with progress(9, console=console) as shown:
            shown.row(row(1, 2.0))
            raise KeyboardInterrupt

    with caplog.at_level(logging.INFO), pytest.raises(KeyboardInterrupt):
        failing()
    assert [record.message[:11] for record in caplog.records] == ["step 1 of 9"]


def test_a_bar_on_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160, color_system=None)
    with caplog.at_level(logging.INFO), progress(9, start=2, console=console) as shown:
        shown.row(row(3, 2.0))
        for step in range(4, 10):
            shown.step(step)
        shown.row(row(9, 1.5))
    (last,) = re.findall(r"9/9 .*", screen.getvalue())[-1:]
    assert re.search(r"mnp 1\.5 · .* tokens/s · 10\.0% padding · 0:00:00 left", last)
    assert not caplog.records
