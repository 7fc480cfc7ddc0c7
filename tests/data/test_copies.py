"""Copies of raw files: told, and not read twice (openwsn-berkeley/mercator#52, PyHealth#366)."""

import gzip
import zipfile
from pathlib import Path

import pytest

from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.data.copies import without_copies
from graphrec_pt.data.describe import describe
from graphrec_pt.data.raw import find_files

ROWS = b"user,item,time\nu1,a,10\nu1,b,20\nu2,a,30\n"
LEFTOVERS = [
    "interactions.csv.gz",
    "interactions.csv.bak",
    "interactions.csv.old",
    "interactions.csv.orig",
    "interactions.csv.1",
    "interactions.csv~",
    "interactions.csv.~1~",
    "interactions.bak.csv",
    "interactions.csv.bak.gz",
    "interactions.csv.part",
    "interactions.sync-conflict-20230101-120000-ABCDEFG.csv",
    "interactions.csv.swp",
]


@pytest.mark.parametrize("name", LEFTOVERS)
def test_a_copy_is_told_and_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "interactions.csv").write_bytes(ROWS)
    (tmp_path / name).write_bytes(gzip.compress(ROWS) if name.endswith(".gz") else ROWS)
    graph = build_card(load_card("tables"), tmp_path)
    assert graph.num_edges("interacts") == 3
    assert any(name in sentence for sentence in describe(graph).warnings)


@pytest.mark.parametrize(
    "name",
    [
        "x (1).csv",
        "x(2).csv",
        "x - Copy.csv",
        "x - Copy (3).csv",
        "x copy 2.csv",
        "x_old.csv",
        "Copy of x.csv",
        "x (Ann's conflicted copy 2020-01-01).csv",
        "x.csv.backup2",
        "X.CSV.BAK",
        "._x.csv",
        ".#x.csv",
        "#x.csv#",
        ".x.csv.swp",
        "__MACOSX/x.csv",
    ],
)
@pytest.mark.parametrize("folder", ["", "deep/er/"])
def test_names_of_copies(name: str, folder: str) -> None:
    told: list[str] = []
    assert without_copies([folder + name, folder + "x.csv"], str, told) == [folder + "x.csv"]
    assert len(told) == 1
    assert "left out" in told[0]


@pytest.mark.parametrize(
    "names",
    [
        ["part-1.csv", "part-2.csv"],
        ["part", "part.1", "part.2"],
        ["x (1).csv", "x (2).csv"],  # nothing that they would be copies of
        ["x.csv.bak"],
        ["train/x.csv", "dev/x.csv"],
        ["a.train.inter", "a.valid.inter", "a.test.inter"],
        ["gold.csv", "g.csv"],
        ["u1.base", "u1.test", "u.data"],
        ["2020.csv", "2021.csv"],
    ],
)
def test_parts_of_a_table_are_all_read(names: list[str]) -> None:
    told: list[str] = []
    assert without_copies(names, str, told) == names
    assert told == []


def test_the_copy_of_a_folder_is_left_out(tmp_path: Path) -> None:
    for folder in ("dev", "dev copy", "train", "backup"):
        (tmp_path / folder).mkdir()
        text = "one" if folder.startswith("dev") else "other"
        (tmp_path / folder / "x.tsv").write_text(text)
    told: list[str] = []
    read = find_files(tmp_path, "x.tsv", told)
    assert [file.path.parent.name for file in read] == ["backup", "dev"]
    assert told == [
        "dev copy/x.tsv was left out: by its name a copy of dev/x.tsv",
        "train/x.tsv was left out: byte for byte a copy of backup/x.tsv",
    ]


def test_a_plain_file_beside_its_gzip_is_told_for_an_exact_name_too(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(ROWS)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(ROWS))
    told: list[str] = []
    assert [file.path.name for file in find_files(tmp_path, "x.csv", told)] == ["x.csv"]
    assert told == ["x.csv.gz was left out: a copy of x.csv"]


def test_an_archive_that_was_downloaded_twice_is_read_once(tmp_path: Path) -> None:
    for name in ("data.zip", "data (1).zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("x.csv", ROWS)
            archive.writestr("__MACOSX/x.csv", b"resource fork")
    told: list[str] = []
    (file,) = find_files(tmp_path, "x.csv", told)
    assert (file.path.name, file.member) == ("data.zip", "x.csv")
    assert len(told) == 2
