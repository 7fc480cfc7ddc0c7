"""A language model that answers by spelling: names of items to rank, values to rate."""

from dataclasses import dataclass, replace

from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.objectives.language_model import LanguageModel
from graphrec_pt.objectives.masking import last_of
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.readout import Value
from graphrec_pt.objectives.text_readout import TextReadout
from graphrec_pt.sampling.sampler import RootKind
from graphrec_pt.tokens.kind import Kind, Special


@dataclass(frozen=True)
class SpelledReadout(TextReadout):
    """Rankings by the names that a language model writes, and ratings by the values.

    Args:
        beams: Names that are searched for each source.
        values: The values that may be written about a pair; none where it rates nothing.
        expected: Whether a rating is the mean of the values by their probabilities, or the most
            probable one.
        of_pairs: Whether the sampler takes pairs.
    """

    beams: int = 20
    values: tuple[str, ...] = ()
    expected: bool = True
    of_pairs: bool = False

    @property
    def ranks(self) -> bool:
        """Whether the prompts ask about sources alone."""
        return not self.of_pairs

    @property
    def rates(self) -> Value | None:
        """A number, where prompts ask about pairs and values are named."""
        return "number" if self.of_pairs and self.values else None

    def on(self, roots: RootKind) -> "SpelledReadout | None":
        """Return the readout for samplers of nodes and of pairs."""
        return None if roots == "sets" else replace(self, of_pairs=roots == "pairs")


@objective("spelled")
class Spelled(LanguageModel):
    """The language model of P5: it recommends by writing the name of an item, letter for letter.

    The loss is that of ``language_model``. Read on sources, the model ranks the catalogue: a beam
    search within the trie of all names (every name that it writes exists) gives the items with the
    most probable names, ``log p(name | prompt)``, and all others follow with one score. Read on
    pairs, it rates: the mean of `values` by the probability of each as the answer (P5 takes the
    most probable, and the mean has the lower squared error). The linearizer spells the names: a
    ``verbalizer`` whose answer is one item ``as: name``.

    Args:
        beams: Names that are searched for each source.
        values: The values that may be written about a pair, as ratings are written.
        expected: Rate by the mean of the values, or by the most probable one.
    """

    beams: int = Field(20, ge=1)
    values: tuple[str, ...] = ()
    expected: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [value for value in self.values if not _is_number(value)]
        if wrong:
            raise GraphRecError("spelled.values", "numbers as text", wrong[0])

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences that hold an answer; prompts alone teach nothing."""
        begin = (examples.tokens.kind == Kind.SPECIAL) & (examples.tokens.id == Special.BOS)
        if self.answer is None:
            some = (last_of(examples.tokens, begin) >= 0).nonzero().squeeze(1)
            tokens, owner = examples.tokens.select(some), examples.owner[some]
            examples = replace(examples, tokens=tokens, owner=owner)
        return super().corrupt(examples)

    def readout(self) -> SpelledReadout:
        """Return a readout that ranks, rates and writes."""
        plain = super().readout()
        return SpelledReadout(
            plain.generation,
            plain.answer,
            plain.nodes,
            plain.mode,
            plain.tokenizer,
            self.beams,
            self.values,
            self.expected,
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
