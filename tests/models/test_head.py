"""Heads: a saved head is made again; one that cannot be saved is refused before training."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.models import heads as library
from graphrec_pt.models import match
from graphrec_pt.models.head import Head, Map, Projector, Steps, build_head, head, head_config
from graphrec_pt.models.model import Model
from graphrec_pt.models.pointer_head import PointerHead
from graphrec_pt.models.turn_head import TurnHead
from graphrec_pt.models.user_attention import UserAttention

EXAMPLES: dict[str, nn.Module] = {
    "item": library.ItemHead(4, items=3, transform=True, cosine=True, temperature=0.5),
    "text": library.TextHead(4, 9),
    "relation": library.RelationHead(4, 5),
    "feature": library.FeatureHead(4, 2),
    "pair": library.PairHead(4),
    "link": library.LinkHead(4),
    "label": library.LabelHead(4),
    "bilinear": library.Bilinear(4),
    "code": library.Coding(4, True, True, 0.5),
    "map": Map(4, 7),
    "steps": Steps(3, 4),
    "projector": Projector(4),
    "pointer": PointerHead(4, gate=True),
    "turn": TurnHead(4, 3),
    "match_dot": match.DotMatch(4),
    "match_bilinear": match.BilinearMatch(4),
    "match_additive": match.AdditiveMatch(4),
    "match_cross_modal": match.CrossModalMatch(4),
    "match_set": match.SetMatch(4),
    "user_attention": UserAttention(4, 3, alone=True),
}


def shapes(network: nn.Module) -> dict[str, list[int]]:
    return {name: list(weight.shape) for name, weight in network.state_dict().items()}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_head_is_made_again_from_what_is_saved(name: str) -> None:
    network = EXAMPLES[name]
    config = json.loads(json.dumps(head_config(network)))
    assert config["name"] == name
    again = build_head(config)
    assert type(again) is type(network)
    assert shapes(again) == shapes(network)
    assert head_config(again) == config


def test_every_head_has_an_example() -> None:
    ours = {n for n in head.names() if head.get(n).__module__.startswith("graphrec_pt.")}
    assert ours == EXAMPLES.keys()


def test_a_term_beside_the_scores_comes_back() -> None:
    network = library.ItemHead(4, cooccurrence={"channels": 2, "inner": 3})
    again = build_head(head_config(network))
    assert shapes(again) == shapes(network)
    assert isinstance(again, library.ItemHead)
    assert again.cooccurrence is not None


def test_heads_of_several_parts() -> None:
    parts = nn.ModuleDict({"a": Map(2, 3), "b": nn.ModuleList([nn.Identity(), Map(3, 1)])})
    again = build_head(head_config(parts))
    assert shapes(again) == shapes(parts) == {
        "a.weight": [3, 2], "a.bias": [3], "b.1.weight": [1, 3], "b.1.bias": [1],
    }  # fmt: skip


def test_what_could_not_be_saved_is_refused(graph: Any, model_of: Any) -> None:
    model = model_of(graph)
    with pytest.raises(GraphRecError, match="a registered head, which can be saved, got Linear"):
        model.put_head("mine", nn.Linear(2, 2))
    assert not model.heads


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "itme", "width": 4}, "did you mean 'item'"),
        ({"name": "item", "widht": 4}, "the options that it was saved with"),
        ({"width": 4}, "a config with a 'name'"),
        ({"name": "os.path.join"}, "would run code"),
    ],
)
def test_foreign_configs(config: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        build_head(config)


OWN = """
from graphrec_pt.models import match
from graphrec_pt.models.head import Head, head
from torch import nn


@head("own_scale")
class Scale(Head):
    def __init__(self, width):
        super().__init__()
        self.factor = nn.Linear(width, width)

    def options(self):
        return {"width": self.factor.in_features}
"""


def test_a_head_from_outside_comes_back_where_code_is_trusted(
    tmp_path: Path, graph: Any, model_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_head_module.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_head_module  # type: ignore[import-not-found]

    model = model_of(graph)
    model.put_head("x", seeded(lambda: own_head_module.Scale(model.width), 3))
    folder = model.save_pretrained(tmp_path / "model")
    saved = json.loads((folder / "config.json").read_text())["heads"]
    assert saved == {"x": {"name": "own_head_module.Scale", "width": model.width}}
    sys.modules.pop("own_head_module")
    again = Model.from_pretrained(folder, trust_code=True)
    assert torch.equal(again.heads["of_x"].factor.weight, model.heads["of_x"].factor.weight)
    head._members.pop("own_head_module.Scale", None)
    with pytest.raises(GraphRecError, match="which would run code"):
        Model.from_pretrained(folder)


def test_a_head_says_how_it_was_made() -> None:
    class Silent(Head):
        pass

    with pytest.raises(GraphRecError, match=r"a method options\(\)"):
        Silent().options()
