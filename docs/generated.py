"""Hook of mkdocs: pages made from the library itself, so that they cannot grow stale.

Every family becomes a page of its members with their options; the recipes, the data sets, the
commands and the public names become tables; SECURITY.md and CHANGELOG.md are taken as they are.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files

import graphrec_pt
from graphrec_pt import testing
from graphrec_pt.cli import app
from graphrec_pt.core.description import (
    ComponentDescription,
    OptionDescription,
    describe_component,
)
from graphrec_pt.core.documents import parse_yaml_mapping
from graphrec_pt.data.card import card_files, load_card
from graphrec_pt.recipe.families import FAMILIES, Family
from graphrec_pt.recipe.files import recipe_files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)[^)]+\)")


def on_config(config: Any) -> Any:
    """Put the pages of the families into the navigation."""
    folders = {"extend/": _family_pages("extend"), "reference/": _family_pages("reference")}
    folders["extend/"].insert(0, {"Begin a plug-in": "extend/index.md"})
    shop = ROOT / "docs" / "shop.md"
    _fill(config["nav"], folders)
    if shop.exists():
        tutorials = next(each["Tutorials"] for each in config["nav"] if "Tutorials" in each)
        tutorials.insert(0, {"Your own shop, from tables to a service": "shop.md"})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {f"reference/{_file(name)}.md": _family(each) for name, each in FAMILIES.items()}
    pages |= {
        "reference/recipes.md": "\n".join(_recipes()),
        "reference/datasets.md": "\n".join(_datasets()),
        "reference/command-line.md": "\n".join(_commands()),
        "reference/python.md": "\n".join(_names()),
        "security.md": _plain_links((ROOT / "SECURITY.md").read_text(encoding="utf-8")),
        "changelog.md": _plain_links((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def _file(family: str) -> str:
    return family.replace(" ", "_")


def _family_pages(folder: str) -> list[Any]:
    return [{name.capitalize(): f"{folder}/{_file(name)}.md"} for name in FAMILIES]


def _fill(nav: list[Any], folders: dict[str, list[Any]]) -> None:
    for entry in nav:
        for title, value in entry.items():
            if isinstance(value, str) and value in folders:
                entry[title] = folders[value]
            elif isinstance(value, list):
                _fill(value, folders)


def _plain_links(text: str) -> str:
    """Return Markdown whose links to files of the repository are plain text."""
    return LINK.sub(r"\1", text)


def _family(family: Family) -> str:
    name = family.registry.family
    lines = [f"# {name.capitalize()}", "", f"{family.sentence}."]
    lines += ["", f"[Write your own {name}](../extend/{_file(name)}.md).", ""]
    for member in family.registry.names():
        if family.registry.get(member).__module__.startswith("graphrec_pt."):
            described = describe_component(family.registry, member, family.interface)
            lines += [*_member(described), ""]
    return "\n".join(lines)


def _member(found: ComponentDescription) -> Iterator[str]:
    yield from (f"## `{found.name}`", "", found.text.summary, "")
    for paragraph in found.text.paragraphs:
        yield from (paragraph, "")
    if found.text.paper:
        yield from (f"*Paper: {found.text.paper}.*", "")
    for fact, value in found.facts:
        yield from (f"- {fact}: {value}", "")
    if found.options:
        yield from ("| option | type | default | meaning |", "|---|---|---|---|")
        for option in found.options:
            yield from _option(option)
        yield ""
    yield f"Class `{found.address}`"


def _option(option: OptionDescription, before: str = "") -> Iterator[str]:
    cells = (f"`{before}{option.name}`", option.type, option.default, option.meaning)
    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    for inner in option.inner:
        yield from _option(inner, f"{before}{option.name}.")


def _recipes() -> Iterator[str]:
    yield from ("# Recipes", "", "`graphrec recipe show NAME` prints the file.", "")
    yield from ("| recipe | system | data | strategies | paper |", "|---|---|---|---|---|")
    for file in recipe_files():
        content = parse_yaml_mapping(file.read_text(encoding="utf-8"), file.name)
        stages = [stage.get("strategy", "pretrain") for stage in content["stages"]]
        names = dict.fromkeys(s["name"] if isinstance(s, dict) else s for s in stages)
        card = content["data"].get("card", "")
        strategies = ", ".join(names)
        name, title = file.name.removesuffix(".yaml"), content.get("title", "")
        yield f"| `{name}` | {title} | {card} | {strategies} | {content.get('paper', '')} |"


def _datasets() -> Iterator[str]:
    yield from ("# Data sets", "", "`graphrec data build NAME` makes the graph.", "")
    yield from ("| card | data set | published counts | licence |", "|---|---|---|---|")
    for file in card_files():
        card = load_card(file.name.removesuffix(".yaml"))
        counts = ", ".join(f"{noun} {count:,}" for noun, count in list(card.expect.items())[:3])
        yield f"| `{card.name}` | {card.title} | {counts} | {card.licence.name} |"


def _commands() -> Iterator[str]:
    command: Any = typer.main.get_command(app)
    yield from ("# Command line", "", "Every command has `--help`. Mistakes take one line, exit 2.")
    yield from _command(command, "graphrec")


def _command(command: Any, path: str) -> Iterator[str]:
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _command(inner, f"{path} {name}")
    if getattr(command, "commands", None):
        return
    yield from ("", f"## `{path}`", "", (command.help or "").strip(), "")
    yield from ("| argument or option | meaning |", "|---|---|")
    for parameter in command.params:
        names = "`, `".join(parameter.opts)
        if parameter.param_type_name == "argument":
            names = parameter.metavar or parameter.name.upper()
        meaning = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
        yield f"| `{names}` | {meaning} |"


def _names() -> Iterator[str]:
    yield from ("# Python", "", "The public names of `graphrec_pt`; each loads when it is used.")
    for module, names in _homes(graphrec_pt).items():
        for name in names:
            yield from ("", f"::: graphrec_pt.{module}.{name}")
    yield from ("", "# `graphrec_pt.testing`", "", "Checks that the author of a plug-in runs.")
    for name in testing.__all__:
        home = getattr(testing, name).__module__
        yield from ("", f"::: {home}.{name}")


def _homes(package: Any) -> dict[str, list[str]]:
    """Return the public names by the module that they stand in."""
    return {module: sorted(names.split()) for module, names in package._NAMES.items()}
