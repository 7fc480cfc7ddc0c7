"""A finished run on a small shop, for the tests of what serves."""

from pathlib import Path

import pytest

from graphrec_pt import open_run, run_recipe
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from tests.serve.shop import SMALL, write_shop


@pytest.fixture(scope="session")
def shop_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("corner"))


@pytest.fixture(scope="session")
def shop_run(shop_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run that was not refitted; tests must leave it as it is."""
    changes = [f"data.card={shop_files / 'corner.yaml'}", *SMALL]
    out = tmp_path_factory.mktemp("runs") / "corner"
    run_recipe(load_recipe("sasrec", changes), out, raw=shop_files)
    return open_run(out)
