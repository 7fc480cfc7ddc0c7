"""Subgraphs as multi-slot sequences."""

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.join import framed
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import Linearizer, Makes, check_sample, linearizer, makes
from graphrec_pt.tokens.node_tokens import distinct, node_tokens
from graphrec_pt.tokens.tokens import Tokens


@linearizer("subgraph")
class Subgraph(Linearizer):
    """Multi-slot sequences of CHEST (Wang et al., TOIS 2023), re-derived.

    One token per node and slot: its id, its type, the slot (metapath or relation it was met by),
    the step (`hop`) and the precursor (`parent`), so that the structure survives the flattening.
    The roots come first, in slot 0, then the nodes in the order of the sample; a node that was
    met twice in a slot stays where it was met first.

    Args:
        cls: Begin with CLS.
    """

    cls: bool = False

    @property
    def makes(self) -> Makes:
        """Nodes with every structural field; edges when the sampler returns them."""
        made = makes([Kind.NODE], "slot", "hop", "parent", "relation", "time", "edges")
        return made.plus([Kind.SPECIAL] if self.cls else ())

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences."""
        sample = check_sample("subgraph", sample, Subgraphs)
        tokens = distinct(node_tokens(graph, sample), per_slot=True)
        return framed(tokens, Special.CLS if self.cls else None)
