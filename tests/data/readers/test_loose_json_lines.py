from typing import Any

CONFIG = {
    "name": "loose_json_lines",
    "fields": {"id": "asin", "text": "description", "kinds": "categories", "also": "rel.also"},
    "lists": ["kinds", "also"],
}
LINES = """\
{'asin': 'K1', 'categories': [['A', 'B'], ['A']], 'rel': {'also': ['K2', 'K3']}}
{"asin": "K2", "description": ["two", "parts"], "categories": null}
"""


def test_python_and_json_lines(read: Any) -> None:
    tables = read(CONFIG, {"a.json": LINES})
    assert tables["records"].rows() == [
        ("K1", None, ["A", "B", "A"], ["K2", "K3"]),
        ("K2", "two parts", [], []),
    ]
    assert tables["also"].select("id", "also").rows() == [("K1", "K2"), ("K1", "K3")]
