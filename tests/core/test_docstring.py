"""Docstrings in parts, against one that was taken apart by hand."""

from graphrec_pt.core.docstring import parse_docstring

TEXT = """Walk from roots (DeepWalk, Perozzi et al., KDD 2014).

    Every walk of :class:`~graphrec_pt.sampling.sample.Paths` has
    one root.

    - a list
    - stays

    Args:
        hops: L,
            at least 1.
        restart: Probability, e.g. 0.3: of going back.

    Returns:
        Paths ``[P, L+1]``.

    Raises:
        GraphRecError: For roots outside.
    """


def test_parts_of_a_docstring() -> None:
    found = parse_docstring(TEXT)
    assert found.summary == "Walk from roots (DeepWalk, Perozzi et al., KDD 2014)."
    assert found.paragraphs == ["Every walk of ``Paths`` has one root.", "- a list\n- stays"]
    assert found.args == {
        "hops": "L, at least 1.",
        "restart": "Probability, e.g. 0.3: of going back.",
    }
    assert found.sections["Returns"] == "Paths ``[P, L+1]``."
    assert found.paper == "DeepWalk, Perozzi et al., KDD 2014"


def test_papers_in_several_forms() -> None:
    for text, paper in {
        "Heads (BERT, Devlin et al., NAACL 2019).": "BERT, Devlin et al., NAACL 2019",
        "x.\n\nKoren, TKDD 2010; Kang & Mc, ICDM 2018.": "Koren, TKDD 2010; Kang & Mc, ICDM 2018",
        "Nothing is cited.": "",
    }.items():
        assert parse_docstring(text).paper == paper


def test_nothing() -> None:
    found = parse_docstring(None)
    assert (found.summary, found.body, found.args, found.sections, found.paper) == (
        "",
        "",
        {},
        {},
        "",
    )
