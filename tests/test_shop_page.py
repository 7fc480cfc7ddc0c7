"""The page docs/shop.md: its commands run, one after another, and do what it says."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from graphrec_pt.cli import main
from graphrec_pt.graph.store import open_graph

PAGE = Path(__file__).parents[1] / "docs" / "shop.md"
BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_every_command_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for language, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(content, "shop.md", "exec"), {})
            continue
        for line in content.splitlines():
            command = shlex.split(line.removeprefix("$ "))
            assert command[0] == "graphrec", line
            if command[1] == "serve":
                continue  # tested by its own client, below
            assert main(command[1:]) == 0, (line, capsys.readouterr().err)
            said[" ".join(command[1:3])] = capsys.readouterr().out
    card = (tmp_path / "shop.yaml").read_text(encoding="utf-8")
    assert "'acme'" in card
    assert "category_paths" in card
    graph, later = open_graph(tmp_path / "graphs/shop"), open_graph(tmp_path / "graphs/shop-2")
    assert graph.num_nodes("user") == 150
    assert graph.num_edges("buys") == 1800 - 4 - 2  # returns; no customer, no date
    assert later.num_edges("buys") == graph.num_edges("buys") + 100
    assert "all 1,794 edges" in said["refit runs/shop"]
    rows = pl.read_parquet(tmp_path / "recommendations.parquet")
    assert rows["user"].n_unique() == 150
    assert (tmp_path / "searches/shop/tune.html").exists()
    testclient = pytest.importorskip("fastapi.testclient")
    pytest.importorskip("httpx")
    from graphrec_pt.serve.service import application

    with testclient.TestClient(application(tmp_path / "runs/shop", every=0)) as client:
        answer = client.get("/recommend", params={"user": "1003", "k": 5}).json()
        assert answer["edges"].startswith("all 1,794 edges")
        assert [item["id"] for item in answer["items"]] == (
            rows.filter(user="1003").sort("rank")["item"].to_list()[:5]
        )
