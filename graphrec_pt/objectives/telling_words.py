"""Words that tell of a number: those of good reviews, and those of bad ones."""

import polars as pl
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.memo import Memo
from graphrec_pt.features.columns import columns_of, read_column
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.graph.schema import Strict
from graphrec_pt.tokens.texts import texts_of
from graphrec_pt.tokens.words import TokenizerField, Words

_ids: Memo[Tensor] = Memo()  # of a node table


class TellingWords(Strict):
    """Text tokens whose nodes have another mean than the rest, in place of a list of opinions.

    ``z_w = (mean_w − mean) √n_w / sd`` over the nodes that have a text and a number, n_w of which
    hold the token w; those with ``|z_w| ≥ least`` tell, unless they are too rare. Held-out nodes
    of a train graph have no text, so nothing is learned from them.

    Args:
        node_type: Whose text and number.
        text: Its text column.
        number: Its number column.
        tokenizer: Of the text, as in the linearizer.
        least: Smallest ``|z|``.
        occurs: Smallest n_w.
    """

    node_type: str
    text: str
    number: str
    tokenizer: TokenizerField
    least: float = Field(3.0, ge=0)
    occurs: int = Field(5, ge=1)

    def check(self, outline: Outline, who: str) -> None:
        """Raise unless the columns are there."""
        columns_of(outline, self.node_type, ["text"], [self.text], who)
        columns_of(outline, self.node_type, ["number"], [self.number], who)

    def ids(self, graph: Graph) -> Tensor:
        """Return the tokens that tell, ascending: int64 ``[n]``; kept with the node table."""
        table = graph.tables[self.node_type]
        return _ids(table, self.model_dump_json(), lambda: self._found(graph))

    def _found(self, graph: Graph) -> Tensor:
        words = Words.of(self.tokenizer)
        start, token = texts_of(graph, self.node_type, self.text, words)
        owner = torch.arange(len(start) - 1).repeat_interleave(start.diff())
        numbers = read_column(graph, self.node_type, self.number, "telling_words")
        rows = pl.DataFrame({"node": owner.numpy(), "token": token.numpy()}).unique()
        rows = rows.with_columns(number=numbers.cast(pl.Float64).gather(rows["node"])).drop_nulls()
        nodes = rows.unique("node")["number"]
        mean, sd = nodes.mean(), nodes.std(ddof=0)
        if not sd:  # none, or all alike
            return token[:0].long()
        z = (pl.col("number").mean() - mean) * pl.len().sqrt() / sd
        told = (
            rows.group_by("token")
            .agg(z=z, held=pl.len())
            .filter((pl.col("z").abs() >= self.least) & (pl.col("held") >= self.occurs))
        )
        return torch.from_numpy(told["token"].cast(pl.Int64).sort().to_numpy().copy())
