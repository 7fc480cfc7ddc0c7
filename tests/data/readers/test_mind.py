from typing import Any

BEHAVIORS = (
    "1\tU1\t11/10/2019 3:00:30 PM\tN1 N2\tN3-1 N-4-0\n"
    "2\tU1\t11/11/2019 6:00:00 AM\tN1 N2\tN5\n"
    "3\tU2\t11/11/2019 6:00:00 AM\t\tN1-0\n"
)


def test_one_file(read: Any) -> None:
    tables = read("mind_behaviors", {"train/behaviors.tsv": BEHAVIORS})
    assert tables["impressions"]["impression"].to_list() == ["1", "2", "3"]
    assert tables["history"].rows() == [("U1", "N1", 0), ("U1", "N2", 1)]
    shown = tables["shown"].select("impression", "news", "position", "clicked", "split")
    assert shown.rows() == [
        ("1", "N3", 0, 1, "train"),
        ("1", "N-4", 1, 0, "train"),
        ("2", "N5", 0, None, "train"),
        ("3", "N1", 0, 0, "train"),
    ]


def test_several_files_keep_their_impressions_apart(read: Any) -> None:
    files = {"train/behaviors.tsv": BEHAVIORS, "dev/behaviors.tsv": BEHAVIORS}
    tables = read("mind_behaviors", files)
    assert tables["impressions"]["impression"].n_unique() == 6
    assert tables["impressions"]["impression"][3] == "dev/1"
    assert len(tables["history"]) == 2


def test_the_history_is_that_of_the_earliest_impression(read: Any) -> None:
    """Case 42, msnews.github.io#19: the list of a later folder holds the clicks of training."""
    later = "1\tU1\t11/20/2019 3:00:30 PM\tN1 N2 N3 N5\tN7\n"
    files = {"a_test/behaviors.tsv": later, "b_train/behaviors.tsv": BEHAVIORS}
    history = read("mind_behaviors", files)["history"]
    assert history.rows() == [("U1", "N1", 0), ("U1", "N2", 1)]
    at_noon = "1\tU1\t11/10/2019 12:00:00 PM\tN1 N2 N3\tN5\n"  # earlier than 3 PM
    read_first = read("mind_behaviors", {"x/behaviors.tsv": at_noon, "y/behaviors.tsv": BEHAVIORS})
    assert read_first["history"]["news"].to_list() == ["N1", "N2", "N3"]


def test_news_and_its_entities(read: Any) -> None:
    entity = '[{"Label": "Boat", "Type": "C", "WikidataId": "Q1", "Confidence": 0.5}]'
    line = f'N1\ta\tb\tSay "boat\t\thttps://example.org\t{entity}\t{entity}\n'
    tables = read("mind_news", {"t/news.tsv": line, "d/news.tsv": line})
    assert tables["news"].rows() == [("N1", "a", "b", 'Say "boat', None, "https://example.org")]
    assert tables["entities"].rows() == [
        ("N1", "title", "Q1", "Boat", "C", 0.5),
        ("N1", "abstract", "Q1", "Boat", "C", 0.5),
    ]
