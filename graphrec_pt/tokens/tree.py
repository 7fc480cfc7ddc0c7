"""Trees of an ontology, level by level."""

from dataclasses import replace

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.join import framed
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import Linearizer, Makes, check_sample, linearizer, makes
from graphrec_pt.tokens.node_tokens import distinct, node_tokens, sorted_by
from graphrec_pt.tokens.tokens import Tokens


@linearizer("tree")
class Tree(Linearizer):
    """A node and its ancestors, as the ontology embedding of G-BERT reads them (IJCAI 2019).

    Level by level from the root on, every node once. `position` and `hop` are the level, so
    siblings share one; `parent` is the node a level nearer to the root.

    Args:
        cls: Begin with CLS; positions move up by one.
    """

    cls: bool = False

    @property
    def makes(self) -> Makes:
        """Nodes; edges when the sampler returns them."""
        made = makes([Kind.NODE], "slot", "hop", "parent", "relation", "time", "edges")
        return made.plus([Kind.SPECIAL] if self.cls else ())

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences."""
        sample = check_sample("tree", sample, Subgraphs)
        tokens = node_tokens(graph, sample)
        tokens = distinct(tokens.take(sorted_by(tokens, tokens.hop)), per_slot=False)
        tokens = replace(tokens, position=tokens.hop.clamp(min=0))
        return framed(tokens, Special.CLS if self.cls else None)
