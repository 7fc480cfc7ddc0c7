"""Text of strangers commands neither a terminal nor a picture."""

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st

from graphrec_pt.cli.printing import Terminal
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import printable


def test_commands_are_written_out() -> None:
    assert printable("\x1b[31mred\x07\r\x9b") == "\\x1b[31mred\\x07\\x0d\\x9b"
    assert printable("\u202eevil\u2066\ud800") == "\\u202eevil\\u2066\\ud800"
    kept = "Amélie\t[bold] 日本 👩‍👧 שלום\n"
    assert printable(kept) == kept


@given(st.text(st.characters(), max_size=30))
def test_the_result_can_be_encoded_and_stands_in_xml(text: str) -> None:
    safe = printable(text)
    assert printable(safe) == safe
    assert ElementTree.fromstring(f"<a>{escape(safe)}</a>").text == (safe or None)


def test_errors_command_nothing() -> None:
    error = GraphRecError("a\x1b]0;title\x07", "b", "c\x9b", "d\u202e")
    assert str(error) == "a\\x1b]0;title\\x07: expected b, got c\\x9b; try d\\u202e"
    assert len(str(GraphRecError("a", "b", "x" * 10_000))) < 700


def test_a_terminal_shows_titles_as_they_are(capsys) -> None:  # type: ignore[no-untyped-def]
    from rich.table import Table
    from rich.text import Text

    table = Table("a [red]column[/red]", title="[/bold] title", box=None)
    table.add_row("[link=http://x]cell[/link] :smile: \x1b[2J")
    Terminal().print(table)
    Terminal().print(Text("[/]\x1b"), "[/bold]")
    shown = capsys.readouterr().out
    for text in (
        "a [red]column[/red]",
        "[/bold] title",
        "[link=http://x]cell[/link] :smile: \\x1b[2J",
        "[/]\\x1b [/bold]",
    ):
        assert text in shown
    assert "\x1b" not in shown
