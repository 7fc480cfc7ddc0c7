"""Prompts in words: text templates whose slots a sample fills.

The hard prompt of systems that hand recommendation to a language model. Pieces of text are
tokenized one by one, a space going with what follows it, which gives the tokens of the whole
sentence for every tokenizer that splits at spaces. The texts of a graph's nodes are tokenized once
and then only copied.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import Literal as Choice
from typing import Self

import torch
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.memo import Memo
from graphrec_pt.core.registry import changed
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Sample
from graphrec_pt.tokens.identifiers import IdentifierField
from graphrec_pt.tokens.join import specials
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.linearizer import Linearizer, ProvidedFields, linearizer, makes
from graphrec_pt.tokens.occasion import Occasion
from graphrec_pt.tokens.phrase import (
    CANDIDATE,
    CANDIDATES,
    EVENT,
    HISTORY,
    NODE,
    PATH,
    ROOT,
    TRUTH,
    WEIGHT,
    Literal,
    Mask,
    Part,
    Phrase,
    Slot,
    SlotOptions,
    Soft,
    check_phrase,
    parse,
    soft_counts,
)
from graphrec_pt.tokens.sheet import Sheet
from graphrec_pt.tokens.spelling import Speller
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import TokenizerField, Words

PLAIN = SlotOptions()
_checked: Memo[None] = Memo()  # of a graph


@linearizer("verbalizer")
class Verbalizer(Linearizer):
    """Phrases with slots for nodes, names, titles, columns, histories, candidates and paths.

    P5 (Geng et al., RecSys 2022), PEPLER, Prompt4NR and their kin ask a language model in words::

        phrases:
          - "Which star rating will {user} give {item} ? => {weight}"
          - "{user} has bought {history} ; what comes next ? => {item}"
        slots:
          user: {as: name}
          item: {as: name}
          history: {as: [title, node], longest: 20}

    ======================  =====================================================================
    slot                    stands for
    ======================  =====================================================================
    ``{root}``              the first root
    ``{TYPE}``              the first node of that type, roots first
    ``{TYPE.column}``       a column of it, or of the interaction's ``{event.column}``
    ``{history}``           what is one step from the first root, oldest first
    ``{NAME}``              what the `relations` of its options reached
    ``{candidates}``        the target of the pair among random nodes of its type
    ``{candidate}``         the target or, as likely, a random node; ``{truth}`` is yes or no
    ``{weight}``            the weight of the pair's edge, such as a rating
    ``{path}``              a path: nodes and the words of its relations
    ``{[P]*8}``             eight learned tokens called P
    ``{MASK:TYPE}``         a node to be predicted
    ======================  =====================================================================

    A *pair* is the first two roots (a sampler of pairs) or the two ends of a path. Every example
    gets one phrase, drawn by Philox. After an arrow stands the answer: it is written as BOS,
    answer, EOS behind the prompt where the sample has the pair that it is about; the sample of a
    user alone gives the prompt alone. In the prompt, `word` numbers the nodes, each shared by all
    tokens that write it, and `slot` the slots of the phrase from 1, 0 for its own words. What a
    graph does not know, such as the rating of a held-out pair, is left empty.

    Args:
        phrases: One or several, see :mod:`graphrec_pt.tokens.phrase`.
        slots: Slot → how it is written: the token of its node by default, columns as text.
        held: Places of the phrases (from 0) that are kept for a model that is not trained on
            them, the strategy `prompt_free`.
        ask: Draw from all but the held phrases, or from these.
        tokenizer: See the linearizer `text`; by default that of the model.
        identifier: Config of the names of nodes (``as: name``).
        relation: The interaction whose pairs are asked about; the first by default.
        longest: Tokens of a column at most.
    """

    phrases: tuple[str, ...] = Field(min_length=1)
    slots: dict[str, SlotOptions] = Field(default_factory=dict)
    held: tuple[int, ...] = ()
    ask: Choice["trained", "held"] = "trained"
    tokenizer: TokenizerField | None = None
    identifier: IdentifierField = Field("digits", validate_default=True)
    relation: str | None = None
    longest: int = Field(64, ge=1)

    def __post_init__(self) -> None:
        wrong = [at for at in self.held if not 0 <= at < len(self.phrases)]
        if wrong or not self.asked:
            expected = f"places of some of the {len(self.phrases)} phrases, from 0"
            raise GraphRecError("verbalizer.held", expected, list(self.held))
        for name, options in self.slots.items():
            options.check(f"slot {name!r}")
        _ = self.parsed

    @cached_property
    def parsed(self) -> tuple[Phrase, ...]:
        """The parsed phrases."""
        return tuple(parse(text) for text in self.phrases)

    @cached_property
    def asked(self) -> list[int]:
        """Places of the phrases that are used."""
        held = set(self.held)
        return [at for at in range(len(self.phrases)) if (at in held) == (self.ask == "held")]

    @property
    def makes(self) -> ProvidedFields:
        """Text, and what the phrases hold."""
        used = [self.parsed[at] for at in self.asked]
        parts = [part for phrase in used for part in phrase.parts]
        kinds = {Kind.TEXT}
        kinds |= {Kind.PROMPT} if any(isinstance(part, Soft) for part in parts) else set()
        masks = any(isinstance(part, Mask) for part in parts)
        answers = any(phrase.answer for phrase in used)
        kinds |= {Kind.SPECIAL} if masks or answers else set()
        nodes = any(NODE in self._options(p).forms for p in parts if _is_node(p))
        kinds |= {Kind.NODE} if nodes else set()
        made = makes(kinds, "word", "slot", "hop", "time")
        made = made.plus(fields=["relation"] if nodes else [])
        return made.plus(fields=["labels"] if masks else [])

    @property
    def names_root(self) -> bool:
        """Whether a phrase names anything but the history."""
        slots = [slot for at in self.asked for slot in self.parsed[at].slots]
        return any(slot.name not in (HISTORY, CANDIDATES) for slot in slots)

    @property
    def prompt(self) -> str:
        """The first phrase that is used."""
        return self.phrases[self.asked[0]]

    @property
    def prompts(self) -> int:
        """Number of learned tokens that the phrases hold: ``model.prompts`` at least."""
        return sum(soft_counts(self.parsed).values())

    def with_words(self, words: Words) -> Self:
        """Return the same with the model's tokenizer, unless it names one."""
        return self if self.tokenizer is not None else changed(self, tokenizer=words.tokenizer)

    def zero_shot(self) -> Self:
        """Return the same with the held phrases, where some are held."""
        return changed(self, ask="held") if self.held else self

    def check(self, graph: Graph) -> None:
        """Raise for a slot that a graph lacks; names the phrase.

        Raises:
            GraphRecError: For an unknown slot, column or node type.
        """
        relation = graph.schema.interaction(self.relation).name
        used = {slot.name for phrase in self.parsed for slot in phrase.slots}
        for number in self.asked:
            check_phrase(number, self.parsed[number], self.slots, graph.schema, relation)
        for name in self.slots:
            if name not in used:
                hint = "one of " + ", ".join(sorted(used)) if used else ""
                raise GraphRecError("verbalizer.slots", "slots of the phrases", repr(name), hint)

    def linearize(self, graph: Graph, sample: Sample, key: Key) -> Tokens:
        """Return one sequence per root of Subgraphs and per path of Paths."""
        if graph.device.type != "cpu":  # texts stay on the CPU
            with torch.device("cpu"):
                return self.linearize(graph.near, sample.to("cpu"), key).to(graph.device)
        _checked(graph, id(self), lambda: self.check(graph), given=(self,))
        words = Words.given("verbalizer", self.tokenizer)
        relation = graph.schema.interaction(self.relation)
        speller = Speller(graph, words, self.identifier)
        whole = Occasion.of(graph, sample, relation, key)
        phrase = (whole.bits("verbalizer.phrase").squeeze(1) * len(self.asked)) >> 32  # [n]
        answered = torch.tensor([self.parsed[at].answer is not None for at in self.asked])
        has_answer = answered[phrase] & (whole.pair[:, 1] >= 0)
        sheet, asked = Sheet(whole.size), [self.parsed[at] for at in self.asked]
        for number, each in enumerate(asked):
            rows = phrase == number
            for row, parts, first in (
                (rows.nonzero().squeeze(1), each.prompt, 0),
                ((rows & has_answer).nonzero().squeeze(1), each.answer or (), len(each.prompt) + 1),
            ):
                texts = [part.text if isinstance(part, Literal) else "" for part in parts]
                sheet.words(row, [speller.literal(text) for text in texts], first)
        row = has_answer.nonzero().squeeze(1)
        last = torch.tensor([len(each.parts) + 1 for each in asked])
        begin = torch.tensor([len(each.prompt) for each in asked])
        sheet.special(row, begin[phrase[row]], Special.BOS)
        sheet.special(row, last[phrase[row]], Special.EOS)
        for (part, _, answers), (places, slots) in _places(asked).items():
            at = torch.tensor(places)[phrase]
            row = ((at >= 0) & (has_answer | (not answers))).nonzero().squeeze(1)
            if len(row):
                made = _Filler(self, whole.take(row), speller).part(part)
                slot = torch.tensor(slots)[phrase[row]]
                sheet.tokens(row, at[row], None if answers else slot, made)
        return sheet.laid()

    def _options(self, part: Part) -> SlotOptions:
        return self.slots.get(part.name, PLAIN) if isinstance(part, Slot) else PLAIN


def _places(
    phrases: Sequence[Phrase],
) -> dict[tuple[Part, int, bool], tuple[list[int], list[int]]]:
    """Return where each part that a sample fills stands in every phrase.

    Returns:
        (part, how often it stood before in its phrase, whether in the answer) → its place in each
        phrase, −1 where it does not stand, and the number of the slot.
    """
    found: dict[tuple[Part, int, bool], tuple[list[int], list[int]]] = {}
    for number, phrase in enumerate(phrases):
        seen: dict[tuple[Part, bool], int] = {}
        slot = 0
        begin = len(phrase.prompt)
        for place, part in enumerate(phrase.parts):
            if isinstance(part, Literal):
                continue
            slot += 1
            answers = place >= begin
            again = seen[part, answers] = seen.get((part, answers), -1) + 1
            none = [-1] * len(phrases), [0] * len(phrases)
            places, slots = found.setdefault((part, again, answers), none)
            places[number], slots[number] = place + answers, slot
    return found


class _Filler:
    """Writes one part of phrases for the sequences that ask it.

    Args:
        chosen: The linearizer.
        asked: The sequences.
        speller: Writes nodes and texts.
    """

    def __init__(self, chosen: Verbalizer, asked: Occasion, speller: Speller) -> None:
        self.chosen, self.asked, self.speller = chosen, asked, speller

    def part(self, part: Part) -> Tokens:
        """Return n sequences of one part."""
        if isinstance(part, Soft):
            counts = soft_counts(self.chosen.parsed)
            firsts = dict(zip(counts, accumulate(counts.values(), initial=0), strict=False))
            ids = torch.arange(firsts[part.name], firsts[part.name] + part.count)
            ptr = torch.arange(self.asked.size + 1) * part.count
            return Tokens.of(ids.repeat(self.asked.size), Kind.PROMPT, ptr)
        if isinstance(part, Mask):
            return self._mask(part)
        assert isinstance(part, Slot)
        return self._slot(part)

    def _mask(self, part: Mask) -> Tokens:
        masks = specials(Special.MASK, self.asked.size)
        target = self.asked.targets(part.node_type)
        kind = self.asked.graph.schema.node_index(part.node_type)
        return replace(
            masks,
            type=torch.full_like(masks.id, kind),
            hop=torch.ones_like(masks.id),
            labels=torch.where(target >= 0, target, IGNORE),
        )

    def _slot(self, slot: Slot) -> Tokens:
        asked, options = self.asked, self.chosen.slots.get(slot.name, PLAIN)
        longest, values = self.chosen.longest, options.values
        if slot.name in (WEIGHT, TRUTH):
            texts = asked.weights() if slot.name == WEIGHT else asked.candidate()[1]
            texts = [values.get(text, text) for text in texts]
            return self.speller.values(texts, slot.before, longest)
        if slot.column is not None:
            members = asked.event() if slot.name == EVENT else asked.of_type(slot.name)
            shown = SlotOptions(written=f".{slot.column}", tokens=longest)
            return self.speller.written(members, shown, slot.before)
        links = None
        if slot.name == ROOT:
            members = asked.members.take(asked.members.rank() == 0)
        elif slot.name == CANDIDATES:
            members = asked.candidates(options.count)
        elif slot.name == CANDIDATE:
            members = asked.candidate()[0]
        elif slot.name == PATH:
            members = asked.members
            names = asked.graph.schema.relation_names
            words = [options.words.get(name, name.replace("_", " ")) for name in names]
            links = [words[at] if at >= 0 else "" for at in members.relation.tolist()]
        elif slot.name == HISTORY or options.relations:
            members = asked.reached(options.relations, options.longest, options.latest_first)
        else:
            members = asked.of_type(slot.name)
        return self.speller.written(members, options, slot.before, links)


def _is_node(part: Part) -> bool:
    return isinstance(part, Slot) and part.column is None and part.name not in (WEIGHT, TRUTH)
