"""OpenDialKG (Moon et al., ACL 2019), as iEvaLM-CRS prepared it for recommendation."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import find_file, read_json, read_json_lines, reader, require_object

TURN = ("turn", "dialogue", "number", "context", "response", "split")


@reader("opendialkg")
class OpenDialKG:
    """``kg``, ``entity2id``, ``relation2id``, ``item_ids`` and the processed dialogues.

    Part ``entities`` has ``entity``, ``name``, ``item`` (1 for what may be recommended);
    ``triples`` has ``head``, ``relation`` (its name), ``tail``; ``turns`` has ``turn``,
    ``dialogue``, ``number``, ``context`` (lines), ``response``, ``split``; ``mentions`` and
    ``recommended`` have ``turn``, ``entity`` (null when the graph lacks it), ``name``, ``place``
    (from 0, in the order of the turn's list).
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables named above."""
        ids = _object(files, "entity2id.json")
        items = set(read_json(find_file("opendialkg", files, "item_ids.json")))
        entities = [(str(i), name, int(i in items)) for name, i in ids.items()]
        turns, named = self._turns([f for f in files if f.name.endswith("_data_processed.jsonl")])
        known = {name: str(i) for name, i in ids.items()}
        pair = {"turn": pl.String, "entity": pl.String, "name": pl.String, "place": pl.Int64}
        lists = {
            part: pl.DataFrame(
                [(turn, known.get(name), name, place) for turn, name, place in rows],
                schema=pair,
                orient="row",
            )
            for part, rows in named.items()
        }
        entity = {"entity": pl.String, "name": pl.String, "item": pl.Int64}
        return {
            "entities": pl.DataFrame(entities, schema=entity, orient="row"),
            "triples": self._triples(files),
            "turns": turns,
            **lists,
        }

    def _triples(self, files: Sequence[RawFile]) -> pl.DataFrame:
        names = {i: name for name, i in _object(files, "relation2id.json").items()}
        kg = _object(files, "kg.json")
        try:
            rows = [(h, names[r], str(t)) for h, pairs in kg.items() for r, t in pairs]
        except (KeyError, TypeError, ValueError) as error:
            raise GraphRecError("kg.json", "head → [[relation, tail], …]", error) from error
        columns = {"head": pl.String, "relation": pl.String, "tail": pl.String}
        return pl.DataFrame(rows, schema=columns, orient="row").unique(maintain_order=True)

    def _turns(
        self, files: Sequence[RawFile]
    ) -> tuple[pl.DataFrame, dict[str, list[tuple[str, str, int]]]]:
        turns: list[tuple[Any, ...]] = []
        named: dict[str, list[tuple[str, str, int]]] = {"mentions": [], "recommended": []}
        for file in files:
            split = file.name.partition("_")[0]
            for line, turn in read_json_lines(file):
                try:
                    dialogue, number = str(turn["dialog_id"]), int(turn["turn_id"])
                    key = f"{dialogue}_{number}"
                    context = "\n".join(turn["context"])
                    turns.append((key, dialogue, str(number), context, turn["resp"], split))
                    for part, names in (("mentions", turn["entity"]), ("recommended", turn["rec"])):
                        named[part] += [(key, name, place) for place, name in enumerate(names)]
                except (KeyError, TypeError, ValueError) as error:
                    who = f"{file.name}:{line}"
                    raise GraphRecError(
                        who, "a turn of a dialogue", f"no usable {error}"
                    ) from error
        frame = pl.DataFrame(turns, schema=dict.fromkeys(TURN, pl.String), orient="row")
        return frame.with_columns(pl.col("number").cast(pl.Int64)), named


def _object(files: Sequence[RawFile], name: str) -> dict[str, Any]:
    file = find_file("opendialkg", files, name)
    return require_object(file, read_json(file))
