"""Cards of dialogues, news, explanations and films, on samples in their official layout."""

import re
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import config_of, name_of
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.graph.protocol import SPLIT_OF_CARD
from graphrec_pt.graph.split import split
from graphrec_pt.recipe.recipe import Data
from tests.data.test_cards import COUNTS, SAMPLES, built, ends, row


def test_redial_separates_what_each_person_said() -> None:
    graph = built("redial")
    assert ends(graph, "recommends") == {("5", "11"), ("7", "13"), ("7", "11")}
    assert ends(graph, "suggests") == {("5-1", "11"), ("7-1", "13"), ("7-1", "11")}
    assert ends(graph, "likes") == {("1", "11")}
    assert ends(graph, "dislikes") == {("1", "12")}
    assert ends(graph, "follows") == {("5-1", "5-0"), ("5-2", "5-1"), ("7-1", "7-0")}
    assert row(graph, "item", "13")["name"] == "Green Hill"


def test_redial_tests_the_published_dialogues_turn_by_turn() -> None:
    card = load_card("redial").without(["recommends", "likes", "dislikes"])
    cut = split(
        build_card(card, SAMPLES / "redial"),
        {"name": "groups", "by": "part_of", "published": "split"},
    )
    raw = cut.graph.raw_id
    assert cut.relation == "suggests"
    assert {raw(turn) for turn in cut.test.source.tolist()} == {"7-1"}  # of test_data.jsonl
    seen = cut.history("test")
    assert ("7-1", "7-0") in ends(seen, "follows")
    assert {turn for turn, _ in ends(seen, "part_of")} == {"5-0", "5-1", "5-2", "6-0"}
    assert ends(cut.train, "mentions") == {("5-0", "12"), ("5-1", "11"), ("5-2", "11")}


def test_xrec_numbers_each_site_anew() -> None:
    graph = built("xrec")
    assert ends(graph, "likes") == {
        ("amazon:1", "amazon:7"),
        ("amazon:2", "amazon:7"),
        ("yelp:1", "yelp:7"),
    }
    pair = row(graph, "explanation", "yelp:1-7")
    assert pair["explanation"] == "Because of the cake."
    assert pair["user_summary"] == "Likes Café Hill."
    cut = split(graph, {"name": "ratio", "valid": 0.34, "test": 0.34})
    held = {graph.raw_id(int(node)) for node in cut.test.source}
    hidden = {f"{user}-7" for user in held}
    shown = cut.train.tables["explanation"].filter(pl.col("id").is_in(hidden))
    assert set(shown["explanation"].fill_null("")) <= {""}


def test_msn_news_has_quotes_and_empty_abstracts() -> None:
    graph = built("msn-news")
    assert row(graph, "news", "N1")["title"] == 'A "quiet" day'
    assert row(graph, "news", "N2")["abstract"] in (None, "")
    assert ends(graph, "in_category") == {("N1", "sports"), ("N2", "sports"), ("N3", "finance")}


def test_films_have_texts_people_and_posters() -> None:
    graph = built("movielens-100k-films")
    first, second = (row(graph, "item", name) for name in ("10", "20"))
    assert (first["description"], first["poster"]) == ("A café at night.", "118.jpg")
    assert (second["description"], second["poster"]) == (None, None)  # it says that it has none
    assert ends(graph, "has_writer") == {("10", "Ann Lee"), ("10", "Bo Ek")}
    assert ends(graph, "has_director") == {("10", "Ann Lee"), ("20", "Bo Ek")}


def test_films_do_without_posters(tmp_path: Path) -> None:
    for file in (SAMPLES / "movielens-100k-films").iterdir():
        if file.suffix != ".csv":
            copyfile(file, tmp_path / file.name)
    graph = build_card(load_card("movielens-100k-films"), tmp_path)
    assert set(graph.tables["item"]["poster"]) == {None}


def test_films_have_a_poster_and_its_quarters() -> None:
    graph = built("movielens-100k-posters")
    assert ends(graph, "has_poster") == {("10", "118#0")}
    assert ends(graph, "depicts") == {("10", f"118#{number}") for number in range(1, 5)}
    corner = row(graph, "region", "118#4")
    assert (corner["left"], corner["bottom"], corner["area"]) == (0.5, 1.0, 0.25)
    assert list(corner["vector"]) == [4.0, 1.0, 0.0]


def test_opendialkg_keeps_a_movie_and_a_genre_of_one_name_apart() -> None:
    graph = built("opendialkg")
    assert ends(graph, "has_genre") == {("3", "0")}
    assert row(graph, "entity", "0")["name"] == row(graph, "item", "0")["name"] == "Blue Hill"
    assert set(graph.edge_tables["recommends"]["split"]) == {"train", "valid", "test"}


def test_opendialkg_holds_whole_dialogues_out_unless_told_otherwise() -> None:
    card = load_card("opendialkg")
    assert config_of(card.split)["by"] == "part_of"
    graph = built("opendialkg")
    assert graph.provenance[SPLIT_OF_CARD] == config_of(card.split)
    assert config_of(Data(card="opendialkg").split) == config_of(card.split)
    assert name_of(Data(card="opendialkg", split="fixed").split) == "fixed"
    assert name_of(Data(card="redial").split) == "leave_one_out"
    shares = {**graph.provenance, SPLIT_OF_CARD: {"name": "groups", "by": "part_of", "test": 0.5}}
    cut = split(replace(graph, provenance=shares))
    assert cut.protocol["name"] == "groups"
    dialogue = dict(ends(graph, "part_of"))
    raw = graph.raw_id
    trained = {dialogue[raw(turn)] for turn in cut.train.edges("recommends").source.tolist()}
    held = {dialogue[raw(turn)] for each in (cut.valid, cut.test) for turn in each.source.tolist()}
    assert not trained & held


@pytest.mark.parametrize(
    ("card", "file"),
    [("redial", "train_data.jsonl"), ("opendialkg", "train_data_processed.jsonl")],
)
def test_dialogues_of_another_encoding_in_one_line(card: str, file: str, tmp_path: Path) -> None:
    for sample in (SAMPLES / card).iterdir():
        copyfile(sample, tmp_path / sample.name)
    text = (tmp_path / file).read_text(encoding="utf-8")
    (tmp_path / file).write_bytes(text.replace("Hill", "Hügel").encode("latin1"))
    with pytest.raises(GraphRecError, match=rf"^{re.escape(file)}:\d+: expected .*utf-8") as caught:
        build_card(load_card(card), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_dialogue_without_the_recommender_has_nothing_to_predict() -> None:
    card = load_card("redial").without(["recommends", "likes", "dislikes"])
    graph = build_card(card, SAMPLES / "redial")
    (utterance,) = graph.node_ids("utterance", ["6-0"])
    assert int(graph.degree("suggests")[utterance - graph.nodes("utterance").start]) == 0


def test_a_mention_of_an_unknown_film_adds_it_and_one_of_an_entity_is_left_out() -> None:
    redial = built("redial")
    assert redial.title(redial.node_id("item", "13")) == "Green Hill"  # of the dialogue alone
    dialogues = built("opendialkg")
    assert dialogues.num_edges("names") == COUNTS["opendialkg"]["names"]
