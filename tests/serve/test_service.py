"""The HTTP service: answers equal to the recommender's, mistakes in the grammar, newer runs."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from graphrec_pt import from_pretrained
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import refit_run

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from graphrec_pt.serve.live import LiveModel
from graphrec_pt.serve.service import application


@pytest.fixture(scope="module")
def client(shop_run: Run) -> Iterator[TestClient]:
    with TestClient(application(shop_run.folder, every=0)) as made:
        yield made


def errors(answer: Any) -> str:
    told = answer.json()["errors"]
    assert all(set(each) == {"who", "expected", "got", "hint", "message"} for each in told)
    return " ".join(each["message"] for each in told)


def test_one_user(client: TestClient, shop_run: Run) -> None:
    answer = client.get("/recommend", params={"user": "u1", "k": 3, "explain": True}).json()
    given = from_pretrained(shop_run).recommend(["u1"], 3, explain=True)[0]
    assert [item["id"] for item in answer["items"]] == [item.id for item in given.items]
    assert [item["score"] for item in answer["items"]] == [item.score for item in given.items]
    assert answer["by"] == "model"
    assert answer["history_length"] == len(given.history)
    assert "training and validation" in answer["edges"]
    paths = [path for item in answer["items"] for path in item["paths"]]
    assert paths
    assert all("not the model's reason" in path["sentence"] for path in paths)
    assert all(path["nodes"][0] == {"type": "user", "id": "u1", "title": "u1"} for path in paths)


def test_many_users_and_new_ones(client: TestClient, shop_run: Run) -> None:
    body = {"users": ["u1", "nobody"], "histories": [["i3", "i7"]], "k": 4, "only": ["price<25"]}
    answer = client.post("/recommend", json=body).json()
    assert [each["by"] for each in answer["users"]] == ["model", "popularity", "model"]
    recommender = from_pretrained(shop_run)
    given = recommender.recommend(
        ["u1", "nobody", ["i3", "i7"]], 4, unknown="popularity", only=["price<25"]
    )
    for view, each in zip(answer["users"], given, strict=True):
        assert [item["id"] for item in view["items"]] == [item.id for item in each.items]


def test_similar_explain_search_and_node(client: TestClient) -> None:
    alike = client.get("/similar", params={"item": "i3", "k": 5, "by": "together"}).json()
    assert len(alike["similar"]) == 5
    several = client.post("/similar", json={"items": ["i3", "i4"], "k": 2}).json()
    assert [each["item"] for each in several["items"]] == ["i3", "i4"]
    paths = client.get("/explain", params={"user": "u1", "item": alike["similar"][0]["id"]}).json()
    assert paths["user"] == "u1"
    found = client.get("/search", params={"q": "u1", "limit": 5}).json()["nodes"]
    assert found[0] == {"type": "user", "id": "u1", "title": "u1"}
    node = client.get("/node", params={"kind": "item", "id": "i3"}).json()
    assert {group["relation"] for group in node["neighbours"]} == {"bought_by", "made_by"}
    assert set(node["columns"]) == {"title", "price"}


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/recommend?user=u1&k=0", 422, "query.k: expected greater than or equal to 1, got '0'"),
        ("/recommend?user=u1&k=31", 400, "expected 1 <= k <= 30, the catalogue, got 31"),
        ("/recommend?user=u1&only=brnd=x", 400, "did you mean 'brand'"),
        ("/recommend?user=x&unknown=refuse", 404, "expected a known user id, got 'x'"),
        ("/recommend", 422, "query.user"),
        ("/similar?item=x", 404, "expected a known item id, got 'x'"),
        ("/node?kind=shop&id=x", 400, "expected a node type, got 'shop'"),
        ("/nowhere", 404, "expected a path of the service"),
    ],
)
def test_mistakes_are_told(client: TestClient, path: str, status: int, told: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert told in errors(answer)


def test_an_unknown_option_is_told(client: TestClient) -> None:
    answer = client.post("/recommend", json={"users": ["u1"], "kk": 3})
    assert answer.status_code == 422
    assert "body.kk" in errors(answer)
    assert "at least one user" in errors(client.post("/recommend", json={}))


def test_a_mistake_of_one_request_spoils_no_other(shop_run: Run) -> None:
    from graphrec_pt.serve.live import Options

    live = LiveModel(shop_run.folder, every=0)
    users = ["u1", "nobody", "u2"] * 20
    answers = live.recommend(users, Options(k=3, unknown="refuse"))
    for user, answer in zip(users, answers, strict=True):
        if user == "nobody":
            assert "known user id" in str(answer.exception(timeout=30))
        else:
            assert answer.result(timeout=30)[0].user == user
    live.close()


def test_health_metrics_and_pages(client: TestClient) -> None:
    health = client.get("/health").json()
    assert (health["status"], health["items"], health["problem"]) == ("ok", 30, None)
    text = client.get("/metrics").text
    assert 'graphrec_requests_total{path="/health",status="200"}' in text
    assert "graphrec_request_seconds_bucket" in text
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/recommend", "/similar", "/explain", "/health", "/metrics"} <= set(paths)
    for page in ("/", "/docs"):
        answer = client.get(page)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "prefers-color-scheme: dark" in answer.text
        assert 'name="viewport"' in answer.text
        outside = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in outside  # nothing is loaded from elsewhere
        assert "https://" not in outside


def test_a_newer_run_takes_over_without_a_lost_request(shop_run: Run, tmp_path: Path) -> None:
    from graphrec_pt.recipe.folder import open_run

    run = open_run(copytree(shop_run.folder, tmp_path / "run"))
    with TestClient(application(run.folder, every=0)) as client:
        answers: list[tuple[int, str]] = []
        ended = threading.Event()

        def ask() -> None:
            while not ended.is_set():
                answer = client.get("/recommend", params={"user": "u1", "k": 3})
                answers.append((answer.status_code, answer.json()["edges"]))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        refit_run(run)
        assert client.post("/reload").json() == {"reloaded": True, "problem": None}
        before = len(answers)
        while len(answers) < before + 5:
            pass
        ended.set()
        for thread in threads:
            thread.join()
        assert {status for status, _ in answers} == {200}
        assert "held out (" in answers[0][1]
        assert answers[-1][1].startswith("all ")
        assert client.get("/health").json()["loads"] == 2
        record = run.folder / "final" / "refit.json"
        record.write_text(json.dumps({"format": 99}))
        os.utime(record, ns=(1, 1))
        told = client.post("/reload").json()
        assert not told["reloaded"]
        assert "refit format" in told["problem"]
        assert client.get("/recommend", params={"user": "u1"}).status_code == 200


def test_the_scripts_of_the_pages_parse(client: TestClient, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    for path in ("/", "/docs"):
        script = client.get(path).text.partition("<script>")[2].partition("</script>")[0]
        assert "innerHTML" not in script  # titles are text, never markup
        (tmp_path / "page.js").write_text(script)
        done = subprocess.run(
            [node, "--check", tmp_path / "page.js"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
