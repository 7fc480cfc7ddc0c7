import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrec_pt.data.ids import number

INTEGERS = st.lists(st.one_of(st.integers(-50, 50), st.integers(-(2**62), 2**62)), max_size=30)


@given(INTEGERS, INTEGERS)
def test_codes_are_places_in_sorted_order(known: list[int], asked: list[int]) -> None:
    numbering = number([pl.Series(known, dtype=pl.Int64)])
    ordered = sorted(set(known))
    assert numbering.ids.to_list() == ordered
    expected = [ordered.index(raw) if raw in ordered else -1 for raw in asked]
    assert numbering.codes(pl.Series(asked, dtype=pl.Int64)).tolist() == expected


@given(st.lists(st.text(max_size=3)), st.lists(st.one_of(st.none(), st.text(max_size=3))))
def test_texts_number_the_same_way(known: list[str], asked: list[str | None]) -> None:
    numbering = number([pl.Series(known, dtype=pl.String)])
    ordered = numbering.ids.to_list()
    assert sorted(ordered) == sorted(set(known))
    expected = [ordered.index(raw) if raw in ordered else -1 for raw in asked]
    assert numbering.codes(pl.Series(asked, dtype=pl.String)).tolist() == expected


def test_columns_of_both_kinds_meet_as_text() -> None:
    numbering = number([pl.Series([7, 10]), pl.Series(["7", "x"])])
    assert numbering.ids.to_list() == ["10", "7", "x"]
    assert numbering.codes(pl.Series([7, 8])).tolist() == [1, -1]


@pytest.mark.parametrize("raw", [pl.Series([1, None]), pl.Series([None, 2], dtype=pl.Int64)])
def test_nulls_have_no_code(raw: pl.Series) -> None:
    codes = number([pl.Series([1, 2])]).codes(raw)
    assert [code == -1 for code in codes] == [value is None for value in raw]
