import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.core.options import option_errors
from graphrec_pt.core.registry import Registry, name_of, trusting
from graphrec_pt.sampling.sampler import sampler

zigzags: Registry[Any] = Registry("sampler")


@zigzags("zigzag")
class Zigzag:
    forth: str
    back: str
    hops: int = 4


def test_constructor_is_the_schema() -> None:
    made = zigzags.build({"name": "zigzag", "forth": "a", "back": "b"})
    assert made == Zigzag("a", "b", 4)
    assert repr(made) == "Zigzag(forth='a', back='b', hops=4)"
    with pytest.raises(AttributeError):
        made.hops = 5


def test_config_round_trip() -> None:
    config = {"name": "zigzag", "forth": "a", "back": "b", "hops": 2}
    assert zigzags.config(zigzags.build(config)) == config


def test_objects_pass_through() -> None:
    made = Zigzag("a", "b")
    assert zigzags.build(made) is made


def test_all_option_errors_at_once_with_hints() -> None:
    with pytest.raises(ConfigErrors) as caught:
        zigzags.build({"name": "zigzag", "forth": 3, "bakc": "b", "hops": "many"})
    lines = str(caught.value).splitlines()
    assert len(lines) == 4  # forth is no text, back is missing, bakc is unknown, hops no number
    assert any("bakc" in line and "did you mean 'back'" in line for line in lines)
    assert any("'back'" in line and "got nothing" in line for line in lines)


def test_unknown_name() -> None:
    with pytest.raises(GraphRecError, match=r"sampler: expected a known name.*mean 'zigzag'"):
        zigzags.build("zigzga")
    with pytest.raises(GraphRecError, match="expected a 'name'"):
        zigzags.build({"hops": 1})


def test_a_name_is_taken_once() -> None:
    with pytest.raises(GraphRecError, match="not taken"):

        @zigzags("zigzag")
        class Other:
            pass


def test_dotted_paths_need_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_samplers.py").write_text("class Walk:\n    length: int = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(GraphRecError, match=r"my_samplers.Walk.*trust_code"):
        zigzags.build("my_samplers.Walk")
    assert "my_samplers" not in sys.modules  # refused before anything ran
    with trusting():
        made = zigzags.build({"name": "my_samplers:Walk", "length": 7})
    assert made.length == 7
    with trusting(), pytest.raises(GraphRecError, match="importable dotted path"):
        zigzags.build("my_samplers.Nothing")


def test_what_a_path_named_keeps_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with a name of its own too: another process finds it by the path alone."""
    code = "from tests_zoo import zoo\n\n\n@zoo('walker')\nclass Walk:\n    length: int = 3\n"
    (tmp_path / "more_samplers.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    zoo: Registry[object] = Registry("animal")
    monkeypatch.setitem(sys.modules, "tests_zoo", SimpleNamespace(zoo=zoo))
    with trusting():
        made = zoo.build({"name": "more_samplers.Walk", "length": 4})
    assert zoo.config(made) == {"name": "more_samplers.Walk", "length": 4}
    assert zoo.build(zoo.config(made)) == made  # known by now: nothing more is run
    assert name_of(made) == "walker"


def test_a_class_of_the_library_keeps_its_name() -> None:
    with trusting():
        made = sampler.build("graphrec_pt.sampling.walks.RandomWalk")
    assert sampler.config(made)["name"] == "random_walk"  # which nobody needs to trust


class Holder(BaseModel):
    one: Annotated[Any, zigzags]
    more: dict[str, tuple[Annotated[Any, zigzags], ...]] = Field({}, validate_default=True)
    none: Annotated[Any, zigzags] | None = None


def test_a_field_builds_and_saves_its_member() -> None:
    config = {"name": "zigzag", "forth": "a", "back": "b", "hops": 4}
    held = Holder(one=config, more={"x": [Zigzag("c", "d"), config]})
    assert held.one == Zigzag("a", "b")
    assert held.more == {"x": (Zigzag("c", "d"), Zigzag("a", "b"))}
    plain = held.model_dump(mode="json")
    assert plain["one"] == config
    assert plain["none"] is None
    assert Holder(**plain) == held


def test_a_field_says_where_it_is() -> None:
    with pytest.raises(ValidationError) as caught:
        Holder(one={"name": "zigzag", "forth": "a", "bakc": 1}, more={"x": ["zigzga"]})
    errors = option_errors("card.yaml", caught.value, Holder)
    assert [error.who for error in errors] == [
        "one sampler 'zigzag'",
        "one sampler 'zigzag'",
        "more.x.0 sampler",
    ]
    assert "did you mean 'back'" in errors[1].hint + errors[0].hint


def test_a_field_trusts_only_where_its_caller_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "field_samplers.py").write_text("class Walk:\n    length: int = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValidationError, match="which would run code"):
        Holder(one="field_samplers.Walk")
    assert "field_samplers" not in sys.modules
    with trusting():
        held = Holder(one="field_samplers.Walk")
    assert held.model_dump(mode="json")["one"] == {"name": "field_samplers.Walk", "length": 3}


def test_trust_ends_with_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_samplers.py").write_text("class Walk:\n    length: int = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with trusting(), trusting(False):
        pass  # trust that was given is not taken away inside
    with trusting(False), pytest.raises(GraphRecError, match="which would run code"):
        zigzags.build("odd_samplers.Walk")
    with trusting(), trusting(False):
        assert zigzags.build("odd_samplers.Walk").length == 3


class Inner(BaseModel, extra="forbid"):
    links: str
    weight: float = 1.0


@zigzags("outer")
class Outer:
    each: Annotated[tuple[Inner, ...], Field(min_length=1)]


@pytest.mark.parametrize(
    ("each", "lines"),
    [
        (
            [{"link": "a", "links": "b"}],
            ["expected a known option, got 'each.0.link'; did you mean 'links'?"],
        ),
        (["a"], ["each.0: expected options and their values, got 'a'"]),
        ("a", ["each: expected a list, got 'a'"]),
        ([{"links": 3, "weight": "x"}], ["each.0.links: ", "each.0.weight: "]),  # not of a length
    ],
)
def test_options_inside_options(each: object, lines: list[str]) -> None:
    with pytest.raises((ConfigErrors, GraphRecError)) as caught:
        zigzags.build({"name": "outer", "each": each})
    for told, expected in zip(str(caught.value).splitlines(), lines, strict=True):
        assert expected in told
