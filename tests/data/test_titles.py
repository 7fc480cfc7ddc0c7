"""Names in texts: whole words, alike names, overlaps, case and punctuation."""

import random
import re

import pytest

from graphrec_pt.data.titles import Match, TitleFinder, plain_words

pytest.importorskip("ahocorasick")


def found(names: list[str | None], text: str, **options: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(text[m.start : m.end], m.name) for m in TitleFinder(names, **options).find(text)]


def test_case_and_punctuation_do_not_matter() -> None:
    names = ["The Lion King", "Amélie", "Spider-Man: Homecoming", "WALL·E"]
    text = "Saw THE LION  KING, amélie; spider man -- homecoming! and wall-e."
    assert found(names, text) == [
        ("THE LION  KING", (0,)),
        ("amélie", (1,)),
        ("spider man -- homecoming", (2,)),
        ("wall-e", (3,)),
    ]
    assert plain_words("  The 'Lion' -- King ") == "the lion king"


def test_only_whole_words() -> None:
    assert found(["It", "Up"], "with it, updated up") == [("it", (0,)), ("up", (1,))]
    assert found(["Alien"], "aliens alien3 alien") == [("alien", (0,))]


def test_of_overlapping_names_the_first_and_then_the_longest() -> None:
    names = ["Star", "Star Wars", "Wars of the Roses", "of the Roses"]
    assert found(names, "star wars of the roses") == [("star wars", (1,)), ("of the roses", (3,))]


def test_alike_names_come_together_and_short_ones_are_left_out() -> None:
    assert found(["Heat", "heat!", None, "", "??"], "Heat") == [("Heat", (0, 1))]
    assert found(["It", "Heat"], "it heat", shortest=3) == [("heat", (1,))]
    assert TitleFinder([]).find("nothing") == []
    assert TitleFinder(["a name"]).find("") == []


def test_letters_whose_lower_case_is_longer_keep_their_places() -> None:
    assert found(["İstanbul"], "to İstanbul.") == [("İstanbul", (0,))]


def test_agrees_with_a_slow_search() -> None:
    chance = random.Random(0)
    words = ["a", "b", "ab", "c"]
    for _ in range(200):
        names = [" ".join(chance.choices(words, k=chance.randint(1, 3))) for _ in range(4)]
        text = " ".join(chance.choices(words, k=12))
        expected, at = [], 0
        while at < len(text):
            starts = at == 0 or text[at - 1] == " "
            fitting = [n for n in names if starts and re.match(re.escape(n) + r"(?!\w)", text[at:])]
            if fitting:
                longest = max(fitting, key=len)
                places = tuple(place for place, name in enumerate(names) if name == longest)
                expected.append(Match(at, at + len(longest), places))
                at += len(longest)
            else:
                at += 1
        assert TitleFinder(names).find(text) == expected
