"""ReDial: movie recommendation dialogues of two people (Li et al., NeurIPS 2018)."""

import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_json_lines, reader

MENTION = re.compile(r"@(\d+)")
UNSAID = 2
SCHEMAS: dict[str, dict[str, Any]] = {
    "dialogues": {
        "dialogue": pl.String,
        "seeker": pl.String,
        "recommender": pl.String,
        "split": pl.String,
    },
    "utterances": {
        "utterance": pl.String,
        "dialogue": pl.String,
        "position": pl.Int64,
        "speaker": pl.String,
        "role": pl.String,
        "text": pl.String,
        "previous": pl.String,
    },
    "mentions": {
        "utterance": pl.String,
        "dialogue": pl.String,
        "movie": pl.String,
        "role": pl.String,
        "position": pl.Int64,
    },
    "answers": {
        "dialogue": pl.String,
        "seeker": pl.String,
        "movie": pl.String,
        "suggested": pl.Int64,
        "seen": pl.Int64,
        "liked": pl.Int64,
    },
    "movies": {"movie": pl.String, "name": pl.String},
}


@reader("redial")
class ReDial:
    """``{train,valid,test}_data.jsonl`` → dialogues, utterances, mentions, answers, movies.

    Mentions are the ``@id`` in the text. Answers are the seeker's (the recommender's where the
    seeker gave none): ``suggested`` 1 if the recommender brought the movie up, ``seen`` and
    ``liked`` 1, 0, or null when not said.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables named above."""
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in SCHEMAS}
        for file in files:
            split = file.name.partition("_")[0]
            for number, dialogue in read_json_lines(file):
                try:
                    _add(rows, dialogue, split)
                except (KeyError, TypeError, AttributeError) as error:
                    raise GraphRecError(
                        f"{file.name}:{number}", "a ReDial dialogue", f"no usable {error}"
                    ) from error
        made = {n: pl.DataFrame(rows[n], schema=s, orient="row") for n, s in SCHEMAS.items()}
        made["movies"] = made["movies"].unique("movie", keep="first", maintain_order=True)
        return made


def _add(rows: dict[str, list[tuple[Any, ...]]], dialogue: dict[str, Any], split: str) -> None:
    key = str(dialogue["conversationId"])
    seeker = str(dialogue["initiatorWorkerId"])
    rows["dialogues"].append((key, seeker, str(dialogue["respondentWorkerId"]), split))
    previous = None
    for position, message in enumerate(dialogue["messages"]):
        utterance, speaker = f"{key}-{position}", str(message["senderWorkerId"])
        role, text = "seeker" if speaker == seeker else "recommender", message["text"]
        rows["utterances"].append((utterance, key, position, speaker, role, text, previous))
        for movie in MENTION.findall(text):
            rows["mentions"].append((utterance, key, movie, role, position))
        previous = utterance
    # Both lists are objects, or empty arrays when nobody answered.
    rows["movies"] += dict(dialogue["movieMentions"] or {}).items()
    answers = dialogue["initiatorQuestions"] or dialogue["respondentQuestions"] or {}
    for movie, answer in answers.items():
        opinions = [answer[q] if answer[q] != UNSAID else None for q in ("seen", "liked")]
        rows["answers"].append((key, seeker, movie, answer["suggested"], *opinions))
