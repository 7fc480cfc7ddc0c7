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
from graphrec_pt.data.raw import expanding

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
        assert "--only-binary=:all:" in command
        assert command[-2:] == ["--", "shop==1.0"]
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "shop-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("shop/data/data.csv", CONTENT)
            wheel.writestr("shop/__init__.py", "raise SystemExit('imported!')")
        return fetching.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetching.subprocess, "run", pip)
    source = {"package": "shop==1.0", "members": ["*/data.csv"]}
    folder = fetch(card(source), tmp_path / "raw")
    assert [path.name for path in folder.glob("[!.]*")] == ["data.csv"]

    # A member that was cut short, by a kill of an older version say, is fetched anew.
    (folder / "data.csv").write_bytes(CONTENT[:5])
    fetch(card(source), folder)
    assert (folder / "data.csv").read_bytes() == CONTENT
    monkeypatch.setattr(fetching.subprocess, "run", None)  # whole now: pip is not asked
    fetch(card(source), folder)


def test_pip_without_the_package(tmp_path: Path) -> None:
    source = {"package": "graphrec-pt-no-such-package==0.0.0", "members": ["*"]}
    with pytest.raises(GraphRecError, match=r"pip: expected to download graphrec-pt-no-such"):
        fetch(card(source), tmp_path / "raw")


def test_other_ways_are_tried_in_order(site: str, tmp_path: Path) -> None:
    source = {"url": f"{site}/gone.csv", "or_else": [{"url": f"{site}/data.csv"}]}
    assert (fetch(card(source), tmp_path / "raw") / "data.csv").exists()


@pytest.mark.parametrize(
    "package",
    [
        "./shop",
        "/tmp/shop",
        "shop",
        "shop>=1.0",
        "shop==1.*",
        "shop[all]==1.0",
        "--requirement=/tmp/requirements.txt",
        "-r/tmp/x==1",
        "shop @ file:///tmp/shop",
        "git+https://example.org/shop.git",
        "https://example.org/shop-1.0.tar.gz",
        "shop==1.0 --index-url=https://example.org",
        "shop==1.0\n--pre",
        "shop===1.0",
        "shop==1.0; python_version > '3'",
        "",
    ],
)
def test_a_package_is_a_name_and_a_version(package: str) -> None:
    """Anything else could make pip run the code of whoever wrote the card."""
    with pytest.raises(GraphRecError, match=r"sources\.package: expected name==version"):
        card({"package": package, "members": ["*"]})
    with pytest.raises(GraphRecError, match="name==version"):
        card({"url": "https://example.org/x", "or_else": [{"package": package}]})


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/a", "data:,x", "/etc/passwd", "http:", "http://[a"],
)
def test_only_addresses_of_the_web_are_opened(url: str) -> None:
    with pytest.raises(GraphRecError, match=r"sources\.url: expected an address https"):
        card({"url": url})
    with pytest.raises(GraphRecError, match="an address https"):
        card({"url": "https://example.org/a", "mirrors": [url]})


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "..", "", "-rf", "a\nb", ".hidden"])
def test_the_name_of_a_card_is_no_path(name: str) -> None:
    content = card().model_dump(mode="json", exclude_unset=True)
    with pytest.raises(GraphRecError, match="name: expected letters"):
        Card.checked({**content, "name": name}, "card")


def test_an_address_names_no_other_folder(site: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "..%2fup.csv").write_bytes(CONTENT)
    fetch(card({"url": f"{site}/..%252fup.csv"}), tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["..%2fup.csv".lstrip(".")]


def test_a_download_that_is_cut_short_is_not_kept(site: str, tmp_path: Path) -> None:
    class Short(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"user,item")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/data.csv"
    with pytest.raises(GraphRecError, match="the connection ended after 9 of 1,000 bytes"):
        fetch(card({"url": url}), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    server.shutdown()
    server.server_close()


def test_a_redirect_leads_to_the_web_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    class Elsewhere(Quiet):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", (tmp_path / "secret").as_uri())
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(GraphRecError, match="to reach"):
        fetch(card({"url": f"http://127.0.0.1:{server.server_port}/a"}), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    server.shutdown()
    server.server_close()


def test_a_bomb_in_a_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **options: Any) -> Any:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "shop-1.0.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr("shop/data.csv", bytes(300_000))
        return fetching.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetching.subprocess, "run", pip)
    monkeypatch.setattr("graphrec_pt.data.raw.FREE", 1 << 10)
    source = {"package": "shop==1.0", "members": ["*.csv"]}
    with pytest.raises(GraphRecError, match=r"shop/data\.csv: expected at most .* decompressed"):
        fetch(card(source), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    with expanding(2000):
        assert (fetch(card(source), tmp_path / "raw") / "data.csv").stat().st_size == 300_000
