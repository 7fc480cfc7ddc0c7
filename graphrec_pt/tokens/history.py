"""Histories as sequences of items in the order of time."""

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.join import framed
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import (
    Linearizer,
    ProvidedFields,
    check_sample,
    linearizer,
    makes,
)
from graphrec_pt.tokens.subgraphs import node_tokens, sorted_by
from graphrec_pt.tokens.tokens import Tokens


@linearizer("history")
class HistoryLinearizer(Linearizer):
    """Events oldest first, cut on the left: the input of SASRec, BERT4Rec and S3-Rec.

    Kang & McAuley, ICDM 2018; Sun et al., CIKM 2019; Zhou et al., CIKM 2020. Each event is the
    node of the interaction; the field `relation` holds its relation and `time` its time. Events
    of the same time, and those without one, keep the order of the sample.

    Args:
        root: Begin with the root of the history, the user; without it events have no parent.
        window: Events at most, the latest ones; all by default.
        gaps: Let `time` hold the time since the event before, in the graph's unit, 0 for the
            first (TiSASRec, Li et al., WSDM 2020).
        eos: End with EOS.
    """

    root: bool = False
    window: int | None = Field(None, ge=1)
    gaps: bool = False
    eos: bool = False

    @property
    def makes(self) -> ProvidedFields:
        """Nodes with times, relations and sampled edges; the user and specials if configured."""
        made = makes([Kind.NODE], "slot", "hop", "relation", "time", "edges")
        made = made.plus([Kind.SPECIAL] if self.eos else ())
        return made.plus(fields=["parent"] if self.root else ())

    @property
    def names_root(self) -> bool:
        """Whether sequences begin with the user."""
        return self.root

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences; without its root a history may be empty."""
        sample = check_sample("history", sample, Subgraphs)
        tokens = node_tokens(graph, sample)
        event = (tokens.hop != 0).long()
        tokens = tokens.take(sorted_by(tokens, event, tokens.time))
        event = tokens.hop != 0
        left = tokens.lengths()[tokens.sequence_of()] - tokens.places()  # 1 for the latest
        kept = event if self.window is None else event & (left <= self.window)
        tokens = tokens.take((kept | ~event & self.root).nonzero().squeeze(1))
        tokens = replace(tokens, position=tokens.places())
        if self.gaps:
            tokens = replace(tokens, time=_gaps(tokens))
        return framed(tokens, None, Special.EOS if self.eos else None)


def _gaps(tokens: Tokens) -> Tensor:
    """Return the time since the event before of the same sequence: int64 ``[T]``."""
    time, timed = tokens.time, tokens.time != NO_TIME
    follows = torch.zeros_like(timed)
    follows[1:] = timed[1:] & timed[:-1] & (tokens.places()[1:] > 0)
    gap = torch.zeros_like(time)
    gap[1:] = torch.where(follows[1:], time[1:] - time[:-1], 0)
    return torch.where(timed, gap, NO_TIME)
