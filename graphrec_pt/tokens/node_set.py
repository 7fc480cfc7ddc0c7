"""Sets of nodes, without an order: visits, baskets, outfits."""

from dataclasses import replace

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.join import framed
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import Makes, check_sample, linearizer, makes
from graphrec_pt.tokens.node_tokens import distinct, node_tokens
from graphrec_pt.tokens.tokens import Tokens


@linearizer("set")
class NodeSet:
    """Members that share one position, as the codes of a visit in G-BERT (Shang et al., 2019).

    Every node stands once. `position` is the hop: 0 for the root, 1 for all its members, so that
    a model with position embeddings sees a set.

    Args:
        root: Begin with the root (the visit, the basket).
        cls: Begin with CLS, whose output stands for the set; positions move up by one.
    """

    root: bool = True
    cls: bool = False

    @property
    def makes(self) -> Makes:
        """Nodes; edges when the sampler returns them."""
        made = makes([Kind.NODE], "slot", "hop", "relation", "time", "edges")
        made = made.plus([Kind.SPECIAL] if self.cls else ())
        return made.plus(fields=["parent"] if self.root else ())

    @property
    def names_root(self) -> bool:
        """Whether the root stands in front."""
        return self.root

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences; without its root a set may be empty."""
        sample = check_sample("set", sample, Subgraphs)
        tokens = distinct(node_tokens(graph, sample), per_slot=False)
        if not self.root:
            tokens = tokens.take((tokens.hop != 0).nonzero().squeeze(1))
        tokens = replace(tokens, position=tokens.hop.clamp(min=0))
        return framed(tokens, Special.CLS if self.cls else None)
