"""Adaptors of node vectors: UniSRec's mixture of experts."""

from torch import Tensor, nn

from graphrec_pt.features.projection import Experts
from graphrec_pt.features.seeded import apart, seeded
from graphrec_pt.models.adaptor import ADAPTOR, adaptor
from graphrec_pt.models.host import Host
from graphrec_pt.models.insert import insert


@adaptor("moe")
class MixtureOfExperts:
    """Gated whitenings added to the vectors of nodes: ``x + Σ_k g_k (x − b_k) W_k``.

    The adaptor of UniSRec (Hou et al., KDD 2022) behind whatever features a type has. There it
    *is* the map from text vectors, trained from the start: that is ``projection: experts`` of the
    featurizers, which ``trains: [model.features.*]`` tunes. Here it comes later, so it adds.

    Args:
        types: Node types whose vectors are adapted; all by default.
    """

    types: tuple[str, ...] | None = None

    def attach(self, model: Host, seed: int) -> None:
        """Give every type its experts."""
        for name in self.types or model.outline.node_names:
            model.outline.node_index(name)
            host = model.features.of_type.get_submodule(f"of_{name}")
            insert(host, ADAPTOR, seeded(lambda: AddedExperts(model.width), apart(seed, name)))


class AddedExperts(nn.Module):
    """Experts, and past them.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.experts = Experts(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, D]`` for ``[n, D]``."""
        out: Tensor = x + self.experts(x)
        return out
