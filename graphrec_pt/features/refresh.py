"""What a trained encoder keeps between passes: earlier vectors, and the gradients of a step."""

from math import exp

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.schema import Strict
from graphrec_pt.kernels.philox import philox

KEY = Key(0).named("refresh")


class Refresh(Strict):
    """When the vector of an earlier step stands for a text (SpeedyFeed, Xiao et al., KDD 2022).

    At step t, counted from 0 in each stage, a text is looked up with probability ``p_t = 1 − exp(−β
    t)``; a vector that was made at most γ steps ago is then taken as it is, without a gradient.
    All other texts are encoded, and their vectors kept.

    Args:
        beta: β; .002 in the paper. ``.inf`` looks up always after the first step.
        age: γ; 20 in the released code for production, 2 in that for MIND.
    """

    beta: float = Field(0.002, gt=0)
    age: int = Field(20, ge=1)

    def chance(self, step: int) -> float:
        """Return p_t."""
        return 1 - exp(-self.beta * step) if step else 0.0


class Recent(nn.Module):
    """Vectors of nodes that an encoder made in earlier steps, and when.

    They are kept in checkpoints, so that a resumed run equals one that was never killed.

    Args:
        refresh: When they are taken.
        count: n, number of nodes.
        inputs: F.

    Attributes:
        vector: ``[n, F]``.
        made: int64 ``[n]``, the step of each; −1 for none.
    """

    vector: Tensor
    made: Tensor

    def __init__(self, refresh: Refresh, count: int, inputs: int) -> None:
        super().__init__()
        self.refresh = refresh
        self.register_buffer("vector", torch.zeros(count, inputs))
        self.register_buffer("made", torch.zeros(count, dtype=torch.int64))

    def initialise(self, draw: torch.Generator) -> None:
        """Begin with no vector."""
        self.forget()

    def forget(self) -> None:
        """Leave all vectors out from now on."""
        self.vector.zero_()
        self.made.fill_(-1)

    def taken(self, nodes: Tensor, step: int) -> Tensor:
        """Return which nodes have a vector that is taken: bool ``[n]``.

        Whether a node is looked up is a function of node and step alone, so all passes of a step
        take the same vectors.

        Args:
            nodes: int64 ``[n]``, numbered inside their type.
            step: t.
        """
        made = self.made[nodes]
        words = philox(KEY, nodes.cpu(), torch.full_like(nodes, step, device="cpu"))[:, 0]
        looked_up = (words.double() / 2**32 < self.refresh.chance(step)).to(nodes.device)
        return looked_up & (made >= 0) & (made < step) & (step - made <= self.refresh.age)

    @torch.no_grad()
    def keep(self, nodes: Tensor, vectors: Tensor, step: int) -> None:
        """Keep the vectors of nodes, made at a step."""
        self.vector[nodes] = vectors.detach().to(self.vector)
        self.made[nodes] = step


class OfStep:
    """Vectors of one optimiser step, whose gradients go to the encoder once, at its end.

    GRAM (Yang et al., "GRAM: Fast fine-tuning of pre-trained language models for content-based
    collaborative filtering", NAACL 2022): each text is encoded once however many micro-batches of
    the step hold it, the gradients of its vector are added up, and the encoder goes backward once.
    No weight changes inside a step, so the gradient is that of the plain form.

    Args:
        count: Number of nodes.
    """

    def __init__(self, count: int) -> None:
        self.place = torch.full((count,), -1)  # of each node among the vectors
        self.made: list[tuple[Tensor, Tensor]] = []
        """Vectors with the graph of the encoder, and leaves of the same values."""
        self.size = 0

    def missing(self, nodes: Tensor) -> Tensor:
        """Return the nodes that were not encoded in this step."""
        return nodes[(self.place[nodes.cpu()] < 0).to(nodes.device)]

    def add(self, nodes: Tensor, vectors: Tensor) -> None:
        """Take vectors of nodes: ``[n, F]`` with the graph of the encoder."""
        leaf = vectors.detach().requires_grad_(vectors.requires_grad)
        self.made.append((vectors, leaf))
        self.place[nodes.cpu()] = torch.arange(self.size, self.size + len(nodes))
        self.size += len(nodes)

    def vectors(self, nodes: Tensor) -> Tensor:
        """Return the vectors of encoded nodes, which collect gradients: ``[n, F]``."""
        every = torch.cat([leaf for _, leaf in self.made])
        return every[self.place[nodes.cpu()].to(every.device)]

    def backward(self) -> None:
        """Give the collected gradients to the encoder."""
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if several and torch.distributed.get_world_size() > 1:
            hint = "gradient: plain"
            raise GraphRecError("text", "one process with gradient: accumulate", "more", hint)
        used = [(made, leaf.grad) for made, leaf in self.made if leaf.grad is not None]
        if used:
            torch.autograd.backward([made for made, _ in used], [grad for _, grad in used])
        self.made.clear()
