"""The explorer page in a real browser, where one is installed: Chromium without a window."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphrec_pt import from_pretrained
from graphrec_pt.recipe.folder import Run

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

from graphrec_pt.serve.service import application  # noqa: E402  (needs the extra serve)

BROWSER = next((path for path in map(shutil.which, ("chromium", "google-chrome")) if path), None)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
)
PHONE = "--window-size=390,844"

Browse = Callable[..., str]


@pytest.fixture(scope="module")
def browse(shop_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browse]:
    """Return a function that shows a page of the service and returns its text of elements."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(application(shop_run.folder, every=0), port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def show(place: str, *options: str) -> str:
        profile = tmp_path_factory.mktemp("profile")
        done = subprocess.run(
            [
                str(BROWSER),
                *QUIET,
                f"--user-data-dir={profile}",
                *options,
                f"http://127.0.0.1:{port}/{place}",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout

    yield show
    server.should_exit = True
    thread.join()


def test_a_user_with_history_and_recommendations(browse: Browse, shop_run: Run) -> None:
    page = browse("#user/u1", "--dump-dom", PHONE)
    given = from_pretrained(shop_run).recommend(["u1"], 5)[0]
    main = page.partition('<main id="main">')[2]
    assert 'role="alert"></p>' in page  # no error
    assert all(f"#item/{item.id}" in main for item in given.items)
    assert all(f"#item/{item}" in main for item in given.history)
    assert main.count(">why</button>") >= len(given.items)  # draws the paths to an item


def test_an_item_and_a_node_that_is_unknown(browse: Browse, shop_run: Run) -> None:
    item = shop_run.history.raw_id(shop_run.history.nodes("item").start)
    main = browse(f"#item/{item}", "--dump-dom").partition('<main id="main">')[2]
    assert "Similar items" in main
    assert "#item/" in main  # others, to click on
    unknown = browse("#user/nobody", "--dump-dom").partition('role="alert">')[2]
    assert "nobody" in unknown.partition("</p>")[0]


def test_it_is_drawn_light_and_dark(browse: Browse, tmp_path: Path) -> None:
    pictures = []
    for name, options in (("light", ()), ("dark", ("--force-dark-mode",))):
        file = tmp_path / f"{name}.png"
        browse("#user/u1", f"--screenshot={file}", "--window-size=390,1600", *options)
        pictures.append(file.read_bytes())
    assert pictures[0] != pictures[1]
