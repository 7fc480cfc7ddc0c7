"""``graphrec recipe``: list, show, copy and validate recipes."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graphrec_pt.cli.printing import Terminal, print_json
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.core.printable import printable

recipe = typer.Typer(no_args_is_help=True, help="List, show, copy and validate recipes.")


@recipe.command("ls")
def list_recipes(
    data: Annotated[
        str, typer.Option(metavar="CARD", help="Say which recipes fit this card, and why not.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes that come with the library."""
    from graphrec_pt.recipe.files import recipe_files, summary

    summaries = [dict(summary(file)) for file in recipe_files()]
    columns = ["name", "title", "paper"]
    if data:
        from graphrec_pt.recipe.fits import misfits, sketch_of

        graph = sketch_of(data)
        columns = ["name", "fits", "title or what the data lacks"]
        for row in summaries:
            row["reasons"] = [str(error) for error in misfits(row["name"], data, graph=graph)]
            row["fits"] = not row["reasons"]
    if as_json:
        print_json(summaries)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "fits"))
    for row in summaries:
        if data:
            text = row["title"] if row["fits"] else row["reasons"][0]
            table.add_row(row["name"], "yes" if row["fits"] else "no", printable(text))
        else:
            table.add_row(row["name"], row["title"], row["paper"])
    Terminal().print(table)


@recipe.command("show")
def show_recipe(
    name: Annotated[str, typer.Argument(help="Name of a recipe, or its YAML file.")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print every option, defaults included.")
    ] = False,
    trust_code: TrustCode = False,
) -> None:
    """Print a recipe."""
    from graphrec_pt.recipe.files import load_recipe, recipe_source, recipe_text

    with trusted(trust_code):
        text = recipe_text(load_recipe(name)) if resolved else recipe_source(name)
    sys.stdout.write(printable(text))


@recipe.command("copy")
def copy_recipe(
    name: Annotated[str, typer.Argument(help="Name of a recipe.")],
    file: Annotated[Path, typer.Argument(help="The new YAML file.")],
) -> None:
    """Copy a recipe to a file."""
    from graphrec_pt.core.scratch import write_text
    from graphrec_pt.recipe.files import recipe_source

    text = recipe_source(name)
    if file.exists():
        raise GraphRecError(str(file), "a new file", "one that is there", "another name")
    write_text(file, text)
    Terminal().print(f"copied to {file}", soft_wrap=True)


@recipe.command("validate")
def validate_recipes(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="YAML files, or names.")],
    data: Annotated[
        str, typer.Option(metavar="CARD", help="Check whether they fit the data of this card.")
    ] = "",
    trust_code: TrustCode = False,
) -> None:
    """Check recipes, and print all mistakes of all of them."""
    from graphrec_pt.recipe.files import check_recipe
    from graphrec_pt.recipe.fits import misfits, sketch_of

    graph = sketch_of(data) if data else None
    mistakes: list[GraphRecError] = []
    for file in files:
        try:
            with trusted(trust_code):
                if data:
                    raise_all(misfits(file, data, graph=graph, trust_code=trust_code))
                else:
                    check_recipe(file)
        except ConfigErrors as errors:
            mistakes += errors.errors
        except GraphRecError as error:
            mistakes.append(error)
        else:
            Terminal().print(f"{file}: valid", soft_wrap=True, highlight=False)
    raise_all(mistakes)
