"""Vectors of images and their regions, with a small network whose features are known."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features import image_table
from graphrec_pt.features.image_table import boxes, region_vectors, write_image_table


def test_regions_are_means_of_the_cells() -> None:
    features = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4)
    found = region_vectors(features, 2)  # [2, 5, 3]
    assert torch.equal(found[:, 0], features.mean((2, 3)))
    for number, box in enumerate(boxes(2)[1:], 1):
        rows = slice(int(box.top * 4), int(box.bottom * 4))
        columns = slice(int(box.left * 4), int(box.right * 4))
        assert torch.equal(found[:, number], features[:, :, rows, columns].mean((2, 3)))
    assert torch.equal(region_vectors(features, 0), found[:, :1])
    assert boxes(0) == [(0, 0, 1, 1)]


class Pixels(torch.nn.Module):
    """A network whose features are the pixels."""

    def forward(self, pixel_values: torch.Tensor) -> "Pixels":
        self.last_hidden_state = pixel_values
        return self


def _processor(images: list[Image.Image], return_tensors: str) -> dict[str, torch.Tensor]:
    rows = [torch.from_numpy(np.array(each.resize((4, 4), 0))).float() for each in images]
    return {"pixel_values": torch.stack(rows).permute(0, 3, 1, 2)}


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(image_table, "load_model", lambda name: Pixels())
    monkeypatch.setattr(image_table, "load_image_processor", lambda name: _processor)
    return "pixels"


def test_a_folder_and_a_zip_file_give_the_same_table(tmp_path: Path, encoder: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    picture = Image.new("RGB", (8, 8), (0, 0, 0))
    picture.paste((200, 0, 0), (4, 0, 8, 4))  # the right upper quarter
    picture.save(folder / "b.png")
    Image.new("RGB", (8, 8), (0, 100, 0)).save(folder / "a.png")
    (folder / "notes.txt").write_text("none")
    assert write_image_table(folder, tmp_path / "one.parquet", encoder, batch=1) == 2
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        for each in ("a.png", "b.png"):
            archive.write(folder / each, f"inside/{each}")
    write_image_table(tmp_path / "images.zip", tmp_path / "two.parquet", encoder)
    table = pl.read_parquet(tmp_path / "one.parquet")
    assert table.equals(pl.read_parquet(tmp_path / "two.parquet"))
    assert table["id"].to_list() == [f"{n}#{r}" for n in "ab" for r in range(5)]
    assert table.filter(id="b#0")["vector"].to_list() == [[50, 0, 0]]
    assert table.filter(id="b#2")["vector"].to_list() == [[200, 0, 0]]
    assert table.filter(id="b#2").select("left", "top", "right", "bottom", "area").row(0) == (
        0.5, 0.0, 1.0, 0.5, 0.25,
    )  # fmt: skip
    with pytest.raises(GraphRecError, match="a new file"):
        write_image_table(folder, tmp_path / "one.parquet", encoder)


def test_what_cannot_be_encoded(tmp_path: Path, encoder: str) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(GraphRecError, match="a folder or a zip file"):
        write_image_table(tmp_path / "nowhere", out, encoder)
    with pytest.raises(GraphRecError, match="images in"):
        write_image_table(tmp_path, out, encoder)
    (tmp_path / "a.jpg").write_text("none")
    with pytest.raises(GraphRecError, match=r"an image in a.jpg"):
        write_image_table(tmp_path, out, encoder)
    with pytest.raises(GraphRecError, match="grid >= 0"):
        write_image_table(tmp_path, out, encoder, grid=-1)
    assert not out.exists()
