"""Every component of the library is listed, shown and part of the schemas that editors read."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from graphrec_pt.cli import main
from graphrec_pt.cli.components import component_page
from graphrec_pt.cli.printing import Terminal
from graphrec_pt.core.description import ComponentDescription, describe_component
from graphrec_pt.core.registry import Registry
from graphrec_pt.data.card import card_files
from graphrec_pt.recipe.families import FAMILIES, find_family
from graphrec_pt.recipe.files import recipe_files
from graphrec_pt.recipe.json_schema import card_schema, recipe_schema

PACKAGE = Path(__file__).parents[2] / "graphrec_pt"
MEMBERS = [(family, name) for family, each in FAMILIES.items() for name in each.registry.names()]
LIBRARY = [
    (family, name)
    for family, name in MEMBERS
    if FAMILIES[family].registry.get(name).__module__.startswith("graphrec_pt.")
]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_every_registry_of_the_library_is_a_family() -> None:
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if "triton" not in parts and path.name != "__main__.py" and "registry" not in parts:
            import_module(".".join(parts).removesuffix(".__init__"))
    registries = {
        each.family
        for name, module in list(sys.modules.items())
        if name.startswith("graphrec_pt.")
        for each in vars(module).values()
        if isinstance(each, Registry)
    }
    assert registries == set(FAMILIES)


def test_ls_names_every_member_of_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    words = set(re.findall(r"\w+", printed(capsys, "ls")))
    assert {name for _, name in LIBRARY} <= words
    found = json.loads(printed(capsys, "ls", "--json"))
    assert {(family, name) for family, names in found.items() for name in names} >= set(LIBRARY)


def test_ls_of_a_family_says_what_each_member_is(capsys: pytest.CaptureFixture[str]) -> None:
    for family in FAMILIES:
        text = printed(capsys, "ls", family.replace(" ", "_"))
        for name in [name for of, name in LIBRARY if of == family]:
            line = next(line for line in text.splitlines() if line.split()[:1] == [name])
            assert len(line.split()) > 2, f"{family} {name} has no summary"


def rendered(found: ComponentDescription) -> str:
    console = Terminal(width=80)
    with console.capture() as capture:
        console.print(component_page(found))
    return capture.get()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_shows_every_option_with_its_meaning(family: str) -> None:
    registry = FAMILIES[family].registry
    for name in [name for of, name in LIBRARY if of == family]:
        found = describe_component(registry, name, FAMILIES[family].interface)
        fields = getattr(registry.get(name), "__pydantic_fields__", None)
        if fields is not None:
            known = {option for option, info in fields.items() if info.init is not False}
            assert {option.name for option in found.options} == known
        page = rendered(found)
        assert " ".join(found.text.summary.replace("`", "").split()) in " ".join(page.split())
        assert found.address in page
        for option in found.options:
            assert option.meaning, f"{family} {name} {option.name}: no meaning in the docstring"
            assert not {"typing", "Annotated", "<"} & set(option.type.split("."))
            assert f"  {option.name}  " in page


def test_show_gives_types_defaults_bounds_and_papers(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "show", "objective", "next_item")
    assert "SASRec, Kang & McAuley, ICDM 2018" in page
    assert re.search(r"window  whole number ≥ 1  default 1\n", page)
    assert re.search(r"calibration  number ≥ 0 ≤ 1  default 0.0", page)  # of candidates
    assert "softmax | sampled | pairwise | bce | choice" in page
    assert "[B] global ids" in printed(capsys, "show", "sampler", "history")  # a shape
    assert re.search(r"pattern  text  required", printed(capsys, "show", "linearizer", "template"))


def test_unknown_names_get_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "sampler", "histry"]) == 2
    assert "did you mean 'history'" in capsys.readouterr().err
    assert main(["ls", "smaplers"]) == 2
    assert "did you mean 'sampler'" in capsys.readouterr().err
    assert find_family("value-baselines").registry.family == "value baseline"


@pytest.mark.parametrize("width", ["80", "60"])
def test_nothing_is_wider_than_the_terminal(
    width: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for command in (["ls"], ["ls", "objective"], ["show", "objective", "next_item"]):
        text = printed(capsys, *command)
        assert max(len(line) for line in text.splitlines()) <= int(width)
        assert "…\n" not in text


@pytest.fixture(scope="module")
def jsonschema() -> object:
    return pytest.importorskip("jsonschema")


def plain(text: str) -> object:
    """Return YAML as JSON has it: dates become texts."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


@pytest.fixture(scope="module")
def recipes() -> dict[str, object]:
    return recipe_schema()


def faults(schema: object, content: object) -> list[str]:
    from jsonschema import Draft202012Validator

    return [error.message for error in Draft202012Validator(schema).iter_errors(content)]


def test_every_shipped_recipe_fits_the_schema(
    jsonschema: object, recipes: dict[str, object]
) -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(recipes)
    for file in recipe_files():
        assert faults(recipes, plain(file.read_text(encoding="utf-8"))) == [], file.name


def test_every_shipped_card_fits_the_schema(jsonschema: object) -> None:
    schema = card_schema()
    for file in card_files():
        assert faults(schema, plain(file.read_text(encoding="utf-8"))) == [], file.name


def test_the_schema_finds_mistakes(jsonschema: object, recipes: dict[str, object]) -> None:
    source = next(file for file in recipe_files() if file.name == "sasrec.yaml")
    good = yaml.safe_load(source.read_text(encoding="utf-8"))

    def changed(**stage: object) -> object:
        return plain(yaml.safe_dump({**good, "stages": [{**good["stages"][0], **stage}]}))

    assert faults(recipes, changed()) == []
    assert faults(recipes, changed(sampler="histry"))
    assert faults(recipes, changed(sampler={"name": "history", "windw": 3}))
    assert faults(recipes, changed(sampler={"name": "history", "window": "many"}))
    assert faults(recipes, changed(linearizer="template"))  # its pattern has no default
    assert faults(recipes, changed(epoch=3))
    weighed = {"name": "next_item", "weight": 0.5, "schedule": "cosine", "label": "next"}
    assert faults(recipes, changed(objectives=[weighed])) == []
    assert faults(recipes, changed(objectives=[{**weighed, "weigth": 1}]))
    assert faults(recipes, changed(sampler="my_package.Walk")) == []  # code, with --trust-code


def test_the_schema_lists_each_member_with_its_options(recipes: dict[str, object]) -> None:
    definitions = recipes["$defs"]
    for family in ("sampler", "linearizer", "featurizer", "strategy", "protocol", "schedule"):
        members = definitions[family]["anyOf"][1]["oneOf"]  # type: ignore[index]
        names = [member["properties"]["name"]["const"] for member in members]
        assert names == FAMILIES[family].registry.names()
    history = next(
        m
        for m in definitions["sampler"]["anyOf"][1]["oneOf"]  # type: ignore[index]
        if m["title"] == "history"
    )
    assert history["properties"]["window"]["minimum"] == 1
    assert history["properties"]["window"]["description"] == "Events at most, the latest ones."


def test_schema_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "card.json"
    assert "yaml-language-server" in printed(
        capsys, "recipe", "schema", "--of", "card", "--out", str(out)
    )
    assert json.loads(out.read_text())["properties"]["name"]["type"] == "string"
    assert json.loads(printed(capsys, "recipe", "schema"))["properties"]["stages"]
