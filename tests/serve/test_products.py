"""The vectors that rank: their products are the scores that a run recommends by."""

import polars as pl
import pytest
import torch

from graphrec_pt import from_pretrained
from graphrec_pt.predict.scorer import Factorised, WithPrior
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.products import Products, products_of


def test_products_are_the_scores(shop_run: Run) -> None:
    products = products_of(shop_run, "test")
    users, items = products.user_table(), products.item_table()
    place = {raw: row for row, raw in enumerate(items["id"])}
    assert items["key"].to_list() == list(range(len(products.items)))
    for given in from_pretrained(shop_run).recommend(["u1", "u2"], 3):
        query = users.filter(pl.col("id") == str(given.user))["vector"].to_torch()[0]
        scores = [float(query @ products.table[place[item.id]]) for item in given.items]
        assert scores == pytest.approx([item.score for item in given.items], abs=1e-4)


def test_terms_by_hand() -> None:
    vectors = torch.eye(2)
    plain = Factorised(torch.tensor([5, 9]), vectors, vectors)
    prior = WithPrior(
        plain, torch.tensor([0, 2, 2]), torch.tensor([1, 0]), torch.tensor([0.5, 0.25])
    )
    products = Products(["ann", "bob"], ["a", "b"], vectors, vectors, prior, "all edges")
    assert products.term_table().rows() == [("ann", [1, 0], [0.5, 0.25]), ("bob", [], [])]
    assert products.user_table()["vector"].to_list() == [[1.0, 0.0], [0.0, 1.0]]
