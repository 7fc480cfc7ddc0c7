"""``graphrec ls`` and ``show``: components; ``graphrec recipe schema``: schemas for editors."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from graphrec_pt.cli.plugin import plugin
from graphrec_pt.cli.printing import Terminal, print_json
from graphrec_pt.cli.recipes import recipe
from graphrec_pt.cli.trust import TrustCode, trusted

if TYPE_CHECKING:
    from graphrec_pt.core.description import ComponentDescription, OptionDescription
    from graphrec_pt.core.registry import Registry

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Family = Annotated[str, typer.Argument(metavar="FAMILY", help="Such as sampler or objective.")]


def list_components(
    family: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help="Such as sampler; all by default.")
    ] = None,
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """List the components that a recipe can name, by family."""
    from graphrec_pt.recipe import families

    with trusted(trust_code):
        chosen = [families.find_family(family)] if family else list(families.FAMILIES.values())
        for each in chosen:
            each.registry.load_plugins()
        if as_json:
            print_json({each.registry.family: _summaries(each.registry) for each in chosen})
            return
    console = Terminal()
    for each in chosen:
        name = each.registry.family
        sentence = Text(each.sentence)
        sentence.highlight_words([name], "bold")
        console.print(sentence)
        if family:
            console.print(_rows(_summaries(each.registry)))
        else:
            names = Text(", ".join(each.registry.names()))
            console.print(Padding(names, (0, 0, 0, 2), expand=False))
    if family:
        console.print(
            Text(f"\ngraphrec show {name.replace(' ', '_')} NAME lists the options", "dim")
        )
    else:
        console.print(Text("\ngraphrec ls FAMILY says what each member is", "dim"))


def show_component(
    family: Family,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in a recipe.")],
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """Print a component: what it does, its paper, its options and their meaning."""
    from graphrec_pt.core.description import describe_component
    from graphrec_pt.recipe import families

    with trusted(trust_code):
        chosen = families.find_family(family)
        found = describe_component(chosen.registry, name, chosen.interface)
    if as_json:
        print_json(asdict(found) | {"paper": found.text.paper})
    else:
        Terminal().print(component_page(found))


@recipe.command("schema")
def print_schema(
    of: Annotated[
        Literal["recipe", "card"], typer.Option("--of", help="What the schema describes.")
    ] = "recipe",
    out: Annotated[Path | None, typer.Option(help="A new file. Default: print it.")] = None,
) -> None:
    """Print the JSON schema of recipes or cards, with which an editor completes them."""
    import json

    from graphrec_pt.core.scratch import write_text
    from graphrec_pt.recipe import json_schema

    schema = json_schema.recipe_schema() if of == "recipe" else json_schema.card_schema()
    if out is None:
        print_json(schema)
        return
    write_text(out, json.dumps(schema, indent=1) + "\n")
    line = f"# yaml-language-server: $schema={out}"
    Terminal().print(f"written to {out}; begin a YAML file with {line!r}", soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Make these commands of an application."""
    app.command("ls")(list_components)
    app.command("show")(show_component)
    app.add_typer(plugin, name="plugin")


def _summaries(registry: "Registry[object]") -> dict[str, str]:
    from graphrec_pt.core.description import docstring_of

    return {name: docstring_of(registry.get(name)).summary for name in registry.names()}


def _rows(texts: dict[str, str]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold", ratio=1)
    for name, text in texts.items():
        table.add_row(name, _plain(text))
    return Padding(table, (0, 0, 0, 2), expand=False)


def component_page(found: "ComponentDescription") -> Group:
    """Return everything that is known of a component, for a terminal."""
    parts: list[RenderableType] = [
        Text(f"{found.family} ", "dim").append(found.name, "bold"),
        Text(_plain(found.text.summary)),
        *(Text("\n" + _plain(paragraph)) for paragraph in found.text.paragraphs),
    ]
    facts = dict(found.facts)
    if found.text.paper:
        facts["paper"] = found.text.paper
    parts += [Text(), _rows(facts | {"class": found.address})]
    parts.append(Text("\noptions" if found.options else "\nno options", "bold"))
    for option in found.options:
        parts += _option(option)
    if found.methods:
        parts.append(Text("\nmethods", "bold"))
    for name, text in found.methods:
        parts += [Text(f"  {name}", "bold"), _indented(text.summary, 6)]
        parts += [_indented(f"{each}: {meaning}", 8) for each, meaning in text.args.items()]
        if "Returns" in text.sections:
            parts.append(_indented(f"returns: {text.sections['Returns']}", 8))
    return Group(*parts)


def _option(option: "OptionDescription", depth: int = 2) -> list[RenderableType]:
    """Return an option and those under it."""
    is_required = option.default == "required"
    default = "  required" if is_required else f"  default {option.default}"
    head = Text(option.name, "bold").append(f"  {option.type}", "not bold cyan")
    head.append(default, "not bold yellow" if is_required else "not bold dim")
    parts: list[RenderableType] = [Padding(head, (0, 0, 0, depth), expand=False)]
    if option.meaning:
        parts.append(_indented(option.meaning, depth + 4))
    return parts + [each for inner in option.inner for each in _option(inner, depth + 4)]


def _indented(text: str, by: int) -> Padding:
    return Padding(Text(_plain(" ".join(text.split()))), (0, 0, 0, by), expand=False)


def _plain(text: str) -> str:
    """Return a docstring's text without the marks of code."""
    return text.replace("``", "").replace("`", "")
