"""Vectors of nodes from columns and files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.node_vectors import vectors_of_type, width_of


def test_columns_are_read_once(toy: Graph) -> None:
    vectors, missing = vectors_of_type(toy, "item", "look")
    assert vectors.tolist() == [[1, 0], [0, 2], [3, 3]]
    assert not bool(missing.any())
    assert vectors_of_type(toy, "item", "look")[0] is vectors
    assert width_of(GraphSpec.of(toy), "item", "look") == 2


def test_files_hold_a_tensor_per_type(toy: Graph, tmp_path: Path) -> None:
    path = str(tmp_path / "teacher.safetensors")
    save_file({"item": torch.arange(9.0).view(3, 3), "user": torch.zeros(1, 3)}, path)
    vectors, missing = vectors_of_type(toy, "item", path)
    assert vectors.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert missing.tolist() == [False] * 3
    assert width_of(GraphSpec.of(toy), "item", path) == 3
    with pytest.raises(GraphRecError, match="vectors of 2 nodes of 'user', got 1"):
        vectors_of_type(toy, "user", path)
    with pytest.raises(GraphRecError, match="vectors of 'brand', got none"):
        width_of(GraphSpec.of(toy), "brand", path)


def test_what_is_not_there_is_told(toy: Graph, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="a safetensors file"):
        vectors_of_type(toy, "item", str(tmp_path / "none.safetensors"))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(GraphRecError, match="a safetensors file"):
        width_of(GraphSpec.of(toy), "item", str(broken))
    flat = str(tmp_path / "flat.safetensors")
    save_file({"item": torch.zeros(3)}, flat)
    with pytest.raises(GraphRecError, match=r"vectors \[n, F\]"):
        width_of(GraphSpec.of(toy), "item", flat)
    with pytest.raises(GraphRecError, match="did you mean 'look'"):
        width_of(GraphSpec.of(toy), "item", "lok")
