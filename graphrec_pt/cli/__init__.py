"""The command line. Mistakes of the user take one line and exit with 2.

Ctrl-C (130), SIGTERM (143) and SIGHUP (129) end with one line too; a run saves a checkpoint first.
"""

import io
import shlex
import sys
from signal import SIGINT
from typing import Annotated, Any

import typer

from graphrec_pt.cli import components, convert, distil, probe
from graphrec_pt.cli.new_data import data
from graphrec_pt.cli.printing import compile_notice
from graphrec_pt.cli.recipes import recipe
from graphrec_pt.cli.runs import add_to
from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.interruption import Interrupted, interruptible, waiting_signal
from graphrec_pt.core.printable import printable
from graphrec_pt.core.version import __version__

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.add_typer(data, name="data")
app.add_typer(recipe, name="recipe")
add_to(app)
components.add_to(app)
convert.add_to(app)
distil.add_to(app)
probe.add_to(app)

INTERRUPTED = 130  # what shells expect after Ctrl-C


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"graphrec_pt {__version__}\n")
        raise typer.Exit


@app.callback()
def graphrec(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; allowed at any position.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version)
    ] = False,
) -> None:
    """Graph-centric pre-training for recommender systems."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 2 the user's mistake, 1 ours."""
    _replace_unwritable()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments  # anywhere: it is added to a command that failed
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _status(arguments)
    except GraphRecError as error:
        if debug:
            raise
        sys.stderr.write(f"{printable(str(error))}\n")
        return 2
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # no arguments at all
            sys.stdout.write(message + "\n")
            return 0
        message = printable(" ".join(message.replace("Value error, ", "").split())).rstrip(".")
        hint = _other_command(arguments) if message.startswith("No such command") else ""
        sys.stderr.write(f"{_command(arguments)}: {message}; {hint or 'try --help'}\n")
        return 2
    except (KeyboardInterrupt, typer.Abort) as error:
        left = "nothing half-written is left"
        if arguments[:1] == ["run"]:
            again = [each for each in arguments if each != "--resume"]
            left = "go on with: " + shlex.join(["graphrec", *again, "--resume"])
        sys.stderr.write(f"interrupted; {left}\n")
        return error.status if isinstance(error, Interrupted) else INTERRUPTED
    except Exception as error:
        if debug:
            raise
        message = printable(" ".join(str(error).split())) or type(error).__name__
        sys.stderr.write(f"graphrec: a fault of ours, {type(error).__name__}: {message}; ")
        sys.stderr.write("try --debug for the traceback\n")
        return 1


def _status(arguments: list[str]) -> int:
    """Run a command; whatever a signal makes of it, Interrupted is raised.

    Raises:
        Interrupted: After a signal.
    """
    with interruptible(), compile_notice():
        try:
            command = typer.main.get_command(app)
            status = command.main(arguments, "graphrec", standalone_mode=False)
        except Exception as error:  # such as a worker that the same signal ended
            if waiting_signal():
                raise Interrupted(waiting_signal()) from error
            raise
        if status == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            raise Interrupted(waiting_signal() or SIGINT)
    return int(status or 0)


def _replace_unwritable() -> None:
    """Let output of another encoding hold a ``?`` for what it cannot write."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


WORDS = {"train": "run", "fit": "run", "eval": "evaluate", "list": "ls", "predict": "recommend"}
"""What other programs call a command."""


def _other_command(arguments: list[str]) -> str:
    """Return a hint about a command that there is not."""
    group: Any = typer.main.get_command(app)
    for word in arguments:
        if word not in getattr(group, "commands", {}):
            names = group.commands
            if WORDS.get(word) in names:
                return f"did you mean {WORDS[word]!r}?"
            hint = did_you_mean(word, names)
            return hint if hint.startswith("did you mean") else f"try {hint}"
        group = group.commands[word]
    return ""


def _command(arguments: list[str]) -> str:
    """Return the command that the arguments name, for messages."""
    words = [word for word in arguments[:2] if word.isalpha()]
    return " ".join(["graphrec", *words])
