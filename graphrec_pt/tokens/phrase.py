"""Phrases: text templates with slots, and how they are read.

::

    phrase = text with slots, [ " => ", text with slots ]
    slot   = "{", name, [ ".", column ], "}"
           | "{MASK:", node type, "}"
           | "{[", name of soft tokens, "]*", number, "}"

What follows the arrow is the answer. Two braces, ``{{`` and ``}}``, stand for one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.schema import Checked, Schema

ARROW = " => "
ROOT, HISTORY, CANDIDATES, CANDIDATE, TRUTH = "root", "history", "candidates", "candidate", "truth"
WEIGHT, EVENT, PATH = "weight", "event", "path"
LISTS = (HISTORY, CANDIDATES, PATH)
BUILT_IN = (ROOT, HISTORY, CANDIDATES, CANDIDATE, TRUTH, WEIGHT, EVENT, PATH)
NODE, NAME, TITLE = "node", "name", "title"
_SOFT = re.compile(r"\[(\w+)\]\s*\*\s*(\d+)")
_MASK = re.compile(r"MASK\s*:\s*(.+)")
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Literal:
    """Words of the phrase itself.

    Args:
        text: Without spaces at its end, which go with what follows.
    """

    text: str


@dataclass(frozen=True)
class Slot:
    """A place that the sample fills.

    Args:
        name: What stands there.
        column: The column of it that is written; None for the node as its slot says.
        before: The spaces before it.
    """

    name: str
    column: str | None
    before: str


@dataclass(frozen=True)
class Soft:
    """Learned tokens.

    Args:
        name: Tokens of one name are the same in every phrase.
        count: How many.
    """

    name: str
    count: int


@dataclass(frozen=True)
class Mask:
    """A node to be predicted.

    Args:
        node_type: Its type.
    """

    node_type: str


Part = Literal | Slot | Soft | Mask


@dataclass(frozen=True)
class Phrase:
    """A parsed phrase.

    Args:
        prompt: What is given.
        answer: What is asked; None without an arrow.
    """

    prompt: tuple[Part, ...]
    answer: tuple[Part, ...] | None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of both."""
        return self.prompt + (self.answer or ())

    @property
    def slots(self) -> list[Slot]:
        """The slots of both."""
        return [part for part in self.parts if isinstance(part, Slot)]


class SlotOptions(Checked):
    """How a slot is written.

    Args:
        as: ``node`` (its token, which has the features of the node), ``title``, ``name`` (see
            ``identifier`` of the verbalizer) or ``.column``; several are written one after
            another, such as a title and its node.
        join: Text between the members of a list.
        longest: Members of a list at most, the latest ones.
        tokens: Tokens of one text at most, the first ones.
        relations: Makes the slot a list: what the sample reached by these relations.
        latest_first: Write the latest member of the list first.
        count: Candidates, the target among them.
        words: Relation → its words on a path; by default its name with spaces.
        values: Text of a value → what is written in its place, such as ``{"5": like}``.
    """

    model_config = ConfigDict(populate_by_name=True)

    written: tuple[str, ...] | str = Field(NODE, alias="as")
    join: str = ", "
    longest: int = Field(20, ge=1)
    tokens: int = Field(32, ge=1)
    relations: tuple[str, ...] = ()
    latest_first: bool = False
    count: int = Field(20, ge=2)
    words: dict[str, str] = Field(default_factory=dict)
    values: dict[str, str] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _named(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = dump(self)
        plain["as"] = plain.pop("written", plain.pop("as", NODE))
        return plain

    @property
    def forms(self) -> tuple[str, ...]:
        """What is written of a node, in order."""
        return (self.written,) if isinstance(self.written, str) else self.written

    def check(self, who: str) -> Self:
        """Raise for a form that is none."""
        for form in self.forms:
            if form not in (NODE, NAME, TITLE) and not form.startswith("."):
                expected = "as: node, title, name or .column"
                raise GraphRecError(who, expected, repr(form), did_you_mean(form, [NODE, NAME]))
        if not self.forms:
            raise GraphRecError(who, "as: node, title, name or .column", "nothing")
        return self


def parse(text: str) -> Phrase:
    """Read a phrase.

    Raises:
        GraphRecError: For a brace without its partner, a slot without a name, and a phrase
            without anything to give.
    """
    prompt, arrow, answer = text.rpartition(ARROW)
    if not arrow:
        prompt, answer = text, ""
    made = Phrase(_parts(prompt, text), _parts(answer, text) if arrow else None)
    if not made.prompt or made.answer == ():
        raise GraphRecError("phrase", "words or slots on both sides of =>", repr(text))
    if any(isinstance(part, Mask | Soft) for part in made.answer or ()):
        raise GraphRecError("phrase", "an answer of words and nodes", repr(text))
    return made


def _parts(text: str, whole: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    text_before, at = "", 0

    def words() -> str:  # the text before becomes a part; the spaces at its end are returned
        bare = text_before.rstrip()
        if bare:
            parts.append(Literal(bare))
        return text_before[len(bare) :]

    for match in _PART.finditer(text):
        text_before += text[at : match.start()]
        at = match.end()
        if match[0] in ("{{", "}}"):
            text_before += match[0][0]
        elif match[1] is None:
            hint = f"{match[0] * 2} for the brace itself"
            raise GraphRecError("phrase", "braces in pairs", repr(whole), hint)
        else:
            parts_before = words()
            parts.append(_slot(match[1].strip(), parts_before, whole))
            text_before = ""
    text_before += text[at:]
    words()
    return tuple(parts)


def _slot(content: str, before: str, whole: str) -> Part:
    if soft := _SOFT.fullmatch(content):
        if not int(soft[2]):
            raise GraphRecError("phrase", "soft tokens such as {[P]*8}", repr(whole))
        return Soft(soft[1], int(soft[2]))
    if mask := _MASK.fullmatch(content):
        return Mask(mask[1].strip())
    name, dot, column = content.partition(".")
    if not name or (dot and not column) or content.startswith("["):
        expected = "slots such as {user}, {item.title}, {MASK:item} or {[P]*8}"
        raise GraphRecError("phrase", expected, repr(whole))
    return Slot(name, column or None, before)


def check_phrase(
    number: int, phrase: Phrase, options: dict[str, SlotOptions], schema: Schema, relation: str
) -> None:
    """Raise for a slot that the data lacks.

    Args:
        number: Of the phrase, for errors.
        phrase: The phrase.
        options: Options of the slots.
        schema: Of the graph.
        relation: The interaction whose pairs are asked about.

    Raises:
        GraphRecError: Names the slot and what comes near it.
    """
    who, names = f"phrase {number}", list(schema.node_names)
    definition = schema.relation(relation)
    for part in phrase.parts:
        if isinstance(part, Mask) and part.node_type not in names:
            hint = did_you_mean(part.node_type, names)
            raise GraphRecError(who, "a node type to mask", repr(part.node_type), hint)
        if not isinstance(part, Slot):
            continue
        name, column = part.name, part.column
        shown = "{" + name + (f".{column}" if column else "") + "}"
        chosen = options.get(name)
        known = name in names or name in BUILT_IN or (chosen is not None and chosen.relations)
        if not known:
            hint = did_you_mean(name, [*names, *BUILT_IN, *options])
            raise GraphRecError(who, "a slot that the data has", shown, hint)
        if name == WEIGHT and not definition.weighted:
            raise GraphRecError(who, f"weights of {relation!r} for {shown}", "none")
        if name == EVENT and definition.event is None:
            hint = f"`event:` of {relation!r} in the card"
            raise GraphRecError(who, f"event nodes of {relation!r} for {shown}", "none", hint)
        if name == EVENT and column is None:
            raise GraphRecError(who, "a column of the event", shown, "{event.COLUMN}")
        if column is not None:
            node_type = definition.event if name == EVENT else name
            if node_type is None or node_type not in names:
                raise GraphRecError(who, "a column of a node type", shown, "{TYPE.column}")
            _check_column(who, shown, node_type, column, schema)
        elif chosen is not None:
            for form in chosen.forms:
                if form.startswith(".") and name in names:
                    _check_column(who, f"{form} of {shown}", name, form[1:], schema)


def _check_column(who: str, shown: str, node_type: str, column: str, schema: Schema) -> None:
    known = [name for name, kind in schema.node(node_type).columns.items() if kind != "vector"]
    if column not in known:
        hint = did_you_mean(column, known) if known else ""
        raise GraphRecError(who, f"a column of {node_type!r} for {shown}", repr(column), hint)


def soft_counts(phrases: Sequence[Phrase]) -> dict[str, int]:
    """Return how many soft tokens of each name the phrases hold, the names in order."""
    counts: dict[str, int] = {}
    for phrase in phrases:
        for part in phrase.parts:
            if isinstance(part, Soft):
                counts[part.name] = max(counts.get(part.name, 0), part.count)
    return counts
