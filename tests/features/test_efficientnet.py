"""EfficientNet-Lite0 of the package becomes a folder whose network computes what it should."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, pad

from graphrec_pt.cli import main
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.efficientnet import PACKAGE, convert_efficientnet, weights_file
from graphrec_pt.features.pretrained import load_image_processor, load_model
from graphrec_pt.features.torch_file import read_tensors

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of the 16 blocks (Tan and Le, ICML 2019)."""


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphrec_pt.features.efficientnet.find_spec", lambda name: None)
    with pytest.raises(GraphRecError, match=r"the weights of efficientnet-lite0.*--no-deps"):
        weights_file()


def _same(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """Convolve with the padding that TensorFlow calls SAME."""
    size, kernel = x.shape[-1], weight.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    low = total // 2
    return conv2d(pad(x, (low, total - low, low, total - low)), weight, None, stride, groups=groups)


def _network(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the last features, by the description of the network."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return batch_norm(
            x, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-3
        )

    x = norm(_same(x, weights["_conv_stem.weight"], 2), "_bn0").clamp(0, 6)
    for number, stride in enumerate(STRIDES):
        name, given = f"_blocks.{number}.", x
        if f"{name}_expand_conv.weight" in weights:
            x = norm(conv2d(x, weights[f"{name}_expand_conv.weight"]), f"{name}_bn0").clamp(0, 6)
        deep = weights[f"{name}_depthwise_conv.weight"]
        x = norm(_same(x, deep, stride, len(deep)), f"{name}_bn1").clamp(0, 6)
        x = norm(conv2d(x, weights[f"{name}_project_conv.weight"]), f"{name}_bn2")
        x = x + given if x.shape == given.shape else x
    return norm(conv2d(x, weights["_conv_head.weight"]), "_bn1").clamp(0, 6)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"needs the package {PACKAGE}")
def test_the_network_computes_what_its_description_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lite0"
    assert main(["convert", "efficientnet-lite0", str(folder)]) == 0
    model, processor = load_model(str(folder)), load_image_processor(str(folder))
    assert capfd.readouterr().err == ""
    from PIL import Image

    white = processor(images=[Image.new("RGB", (9, 5), "white")], return_tensors="pt")
    pixels = white["pixel_values"]
    assert pixels.shape == (1, 3, 224, 224)
    torch.testing.assert_close(pixels, torch.ones_like(pixels))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        found = model(pixel_values=x).last_hidden_state
        expected = _network(read_tensors(weights_file()), x)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(GraphRecError, match="a new folder"):
        convert_efficientnet(folder)
