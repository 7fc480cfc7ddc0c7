"""Texts as times: Python's strptime is the oracle, whatever reads them."""

import warnings
from datetime import UTC, datetime

import polars as pl
import pytest

from graphrec_pt.data.plan import TimePlan
from graphrec_pt.data.times import FORMATS, guess_format, integer_time

MOMENTS = [
    datetime(2017, 8, 1, 10, 0, 0, 900_000, UTC),
    datetime(1969, 12, 31, 23, 59, 59, 100_000, UTC),
    datetime(2038, 2, 28, 22, 30, 1, 999_999, UTC),
]


def read(texts: list[str], pattern: str, unit: str = "ms") -> list[int | None]:
    frame = pl.DataFrame({"t": texts})
    plan = TimePlan(column="t", format=pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return frame.select(integer_time(plan, pl.String(), unit))["t"].to_list()  # type: ignore[arg-type]


def expected(text: str, pattern: str, unit: str) -> int:
    moment = datetime.strptime(text, pattern)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    return milliseconds if unit == "ms" else milliseconds // 1000


MORE = (
    "%Y-%m-%d %H:%M:%S,%f",
    "%Y-%m-%d %I %p",
    "%d.%m.%y %H:%M",
    "%Y%m%d%H%M%S%f",
    "%Y-%jT%H:%M",
    "%Y-%m",
    "%Y",
    "%H:%M:%S.%f %d/%b/%Y",
    "%Y-%m-%dT%H:%M:%S.%fZ",
)


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("pattern", [*FORMATS, *MORE])
def test_every_pattern_means_what_python_says(pattern: str, unit: str) -> None:
    texts = [moment.strftime(pattern) for moment in MOMENTS]
    if "%z" in pattern:
        texts += [texts[0].replace("+0000", zone) for zone in ("Z", "+02:00", "-0530")]
    assert read(texts, pattern, unit) == [expected(text, pattern, unit) for text in texts]


def test_short_fractions_and_what_is_no_time() -> None:
    pattern = "%Y-%m-%d %H:%M:%S.%f"
    texts = ["2017-08-01 10:00:00.9", "2017-08-01 10:00:00.100000", "yesterday", ""]
    assert read(texts, pattern) == [1501581600900, 1501581600100, None, None]


def test_whole_numbers_in_text_keep_every_digit() -> None:
    frame = pl.DataFrame({"t": ["9007199254740993", " 12 ", "12.7", "x"]})
    found = frame.select(integer_time(TimePlan(column="t"), pl.String(), "s"))["t"].to_list()
    assert found == [9007199254740993, 12, 12, None]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2020-01-01", "%Y-%m-%d"),
        ("2020-01-01T10:00:00Z", "%Y-%m-%dT%H:%M:%S%z"),
        ("31.12.2020", "%d.%m.%Y"),
        ("12/31/2020 10:00", "%m/%d/%Y %H:%M"),
        ("Jan 5, 2020", "%b %d, %Y"),
        ("soon", None),
    ],
)
def test_guesses(text: str, pattern: str | None) -> None:
    assert guess_format(text) == pattern
