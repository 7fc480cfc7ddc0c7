import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import archive_members, expanding, find_files

TEXT = b"one\r\ntwo\n"


def content(folder: Path, pattern: str) -> list[bytes]:
    found = []
    for file in find_files(folder, pattern):
        with file.open() as stream:
            found.append(stream.read())
    return found


def tarred(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_plain_wins_over_gzip_over_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("deep/a.csv", b"zip")
    assert content(tmp_path, "a.csv") == [b"zip"]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"gzip"))
    assert content(tmp_path, "a.csv") == [b"gzip"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.csv").write_bytes(b"deep")
    (tmp_path / "a.csv").write_bytes(b"plain")
    assert content(tmp_path, "a.csv") == [b"plain"]


def test_globs_find_all_and_nothing_is_an_empty_list(tmp_path: Path) -> None:
    for name in ("part-1.csv", "part-2.csv", "other.csv"):
        (tmp_path / name).write_bytes(name.encode())
    assert content(tmp_path, "part-*.csv") == [b"part-1.csv", b"part-2.csv"]
    assert find_files(tmp_path, "part-3.csv") == []


def test_tar_and_gzip_inside_zip(tmp_path: Path) -> None:
    tarred(tmp_path / "x.tar.gz", {"x/a.csv": TEXT})
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("b.csv.gz", gzip.compress(TEXT))
    assert content(tmp_path, "a.csv") == [TEXT]
    assert content(tmp_path, "b.csv") == [TEXT]
    assert find_files(tmp_path, "b.csv")[0].name == "b.csv"


def test_members_of_several_archives_belong_together(tmp_path: Path) -> None:
    for part in ("dev", "train"):
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            archive.writestr("log.tsv", part.encode())
    assert content(tmp_path, "log.tsv") == [b"dev", b"train"]


def test_an_archive_may_be_the_raw_folder_itself(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("b.csv", TEXT)
    assert content(tmp_path / "y.zip", "b.csv") == [TEXT]


def test_lines_are_numbered_and_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT + "déjà".encode("latin1"))
    (file,) = find_files(tmp_path, "a.txt")
    assert list(file.lines("latin1")) == [(1, "one"), (2, "two"), (3, "déjà")]
    with pytest.raises(GraphRecError, match=r"a\.txt:3: expected utf-8 text, got byte 0xe9"):
        list(file.lines())


@pytest.mark.parametrize("name", ["../up.csv", "/abs.csv", "a/../../up.csv", "..\\up.csv"])
def test_unsafe_members_are_refused(tmp_path: Path, name: str) -> None:
    tarred(tmp_path / "x.tar.gz", {name: TEXT})
    with pytest.raises(GraphRecError, match=r"x\.tar\.gz: expected members inside"):
        archive_members(tmp_path / "x.tar.gz")


@pytest.mark.parametrize("name", ["broken.zip", "broken.tar.gz"])
def test_damaged_archives_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(GraphRecError, match="expected a complete archive"):
        find_files(tmp_path, "a.csv")


def zstd(data: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(data)
    return bytes(buffer.getvalue().to_pybytes())


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("ending", PACKERS)
def test_every_compression_is_told_by_its_content(tmp_path: Path, ending: str) -> None:
    packed = PACKERS[ending](TEXT * 1000)
    for name in (f"a.csv{ending}", "b.csv", "c.csv.gz"):
        (tmp_path / name).write_bytes(packed)
        (file,) = find_files(tmp_path, name.partition(".")[0] + ".csv")
        with file.open() as stream:
            assert stream.read() == TEXT * 1000
        assert file.name == name.partition(".")[0] + ".csv"
        (tmp_path / "scratch").mkdir(exist_ok=True)
        assert file.local(tmp_path / "scratch").read_bytes() == TEXT * 1000
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("d.csv" + ending, packed)
    assert content(tmp_path, "d.csv") == [TEXT * 1000]


@pytest.mark.parametrize("ending", PACKERS)
def test_every_truncated_compression_is_told(tmp_path: Path, ending: str) -> None:
    packed = PACKERS[ending](bytes(range(256)) * 1000)
    (tmp_path / f"a.csv{ending}").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(GraphRecError, match=r"a\.csv.*: expected a complete compressed file"):
        content(tmp_path, "a.csv")


def test_a_plain_file_whose_name_says_gz(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(TEXT)
    assert content(tmp_path, "a.csv") == [TEXT]


def test_the_one_member_of_an_archive_of_that_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("export 2020.csv", TEXT)
        archive.writestr("__MACOSX/._export 2020.csv", b"\0")
    assert content(tmp_path, "a.csv") == [TEXT]
    assert content(tmp_path, "*.csv") == [TEXT]
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "w") as archive:
        archive.writestr("1.csv", TEXT)
        archive.writestr("2.csv", TEXT)
    assert find_files(tmp_path, "b.csv") == []


def test_marks_of_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + TEXT)
    (file,) = find_files(tmp_path, "a.txt")
    assert list(file.lines()) == [(1, "one"), (2, "two")]
    with pytest.raises(GraphRecError, match=r"a\.txt:1: expected latin1 text, got utf-8, by"):
        list(file.lines("latin1"))
    (tmp_path / "b.txt").write_bytes(TEXT.decode().encode("utf-16"))
    (file,) = find_files(tmp_path, "b.txt")
    assert list(file.lines("utf-16")) == [(1, "one"), (2, "two")]
    with pytest.raises(GraphRecError, match=r"b\.txt:1: expected utf-8 text, got utf-16; try `enc"):
        list(file.lines())


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.bz2", "a.csv.xz", "a.zip", "a.tar.gz"])
def test_a_bomb_stops_where_it_grows_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A line of a million zeros in a kilobyte; what it may grow to can be raised."""
    content = bytes(1_000_000)
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", content)
    elif ".tar" in name:
        tarred(tmp_path / name, {"a.csv": content})
    else:
        (tmp_path / name).write_bytes(pack[name.rpartition(".")[2]](content))
    monkeypatch.setattr("graphrec_pt.data.raw.FREE", 1 << 10)
    (file,) = find_files(tmp_path, "a.csv")
    (tmp_path / "scratch").mkdir()
    for use in (lambda: list(file.lines()), lambda: file.local(tmp_path / "scratch")):
        with pytest.raises(GraphRecError, match=r"a\.\S+: expected at most .* when decompressed"):
            use()
    with expanding(1_000_000):
        assert file.local(tmp_path / "scratch").stat().st_size >= len(content)
