"""Momentum contrast: a history against a queue of earlier ones, which a slow encoder read.

A second copy of the model is kept beside the one that trains, with an average of its weights, so
this objective costs the memory of two models. In return the number of negatives does not depend
on the batch.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.contrast import TwoVersions
from graphrec_pt.objectives.objective import (
    Examples,
    StatefulObjective,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pooling import SequencePool


@objective("momentum_contrast")
class MomentumContrast(TwoVersions, StatefulObjective):
    r"""Momentum contrast (MoCo, He et al., CVPR 2020) of histories, re-derived.

    .. math:: L = -\frac 1n \sum_i \log \frac{e^{q_i \cdot k_i / \tau}}
              {e^{q_i \cdot k_i / \tau} + \sum_{j \in Q} e^{q_i \cdot k_j / \tau}}

    q is read off one version of a history by the model, k off another version by the key encoder,
    both on the unit sphere. The queue Q holds the last keys of earlier steps; keys of the same
    root are no negatives. After every step ``θ_k ← m θ_k + (1 − m) θ_q``, then the keys of the
    step replace the oldest ones. No gradient reaches the key encoder, which has no dropout. The
    queue begins with random unit vectors, as in the released code.

    A run in several processes is refused: each would keep a queue of its own, and a checkpoint
    holds one.

    Args:
        augment: How a version is made.
        pool: Pooling of hidden states to the vector of a history.
        projection: Put a small net before the contrast; the key encoder has its own.
        temperature: τ.
        momentum: m.
        queue: Keys in Q; 65,536 in the paper, which contrasts images.
    """

    temperature: float = Field(0.07, gt=0)
    momentum: float = Field(0.999, ge=0, lt=1)
    queue: int = Field(4096, ge=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return a version of every history for the model, and another for the key encoder."""
        rows, (query, key) = self.versions(examples, "momentum_contrast")
        root = examples.root()
        source = torch.full_like(rows, -1) if root is None else root[rows]
        return TrainingExamples((query,), {"source": source}, len(rows), unencoded=(key,))

    def state(self, model: Model, head: nn.Module, seed: int) -> "KeyEncoder":
        """Return a copy of the model and a queue of random keys."""
        return KeyEncoder(model, head, self.queue, seed)

    def after_step(self, state: nn.Module, model: Model, head: nn.Module, step: int) -> None:
        """Update the key encoder's average and add the keys of this step to the queue."""
        assert isinstance(state, KeyEncoder)
        state.follow(model, head, self.momentum)
        state.enqueue()

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.Module,
        state: "KeyEncoder | None" = None,
    ) -> Tensor:
        """Return the mean over histories.

        Raises:
            GraphRecError: Without a state.
        """
        if state is None:
            hint = "training with Trainer, which keeps it"
            raise GraphRecError("momentum_contrast", "its state", "none", hint)
        source = corrupted.targets["source"]
        query = _unit(head(encoded[0].pooled(self.pool)))  # [n, D]
        key = state(corrupted.unencoded[0], self.pool)  # [n, D]
        if model.training:
            state.waiting.append((key, source))
        negative = query @ state.keys.T  # [n, Q]
        same = (state.sources == source.unsqueeze(1)) & (source >= 0).unsqueeze(1)
        negative = negative.masked_fill(same, float("-inf"))
        scores = torch.cat([(query * key).sum(1, keepdim=True), negative], dim=1)  # [n, 1 + Q]
        return cross_entropy(scores / self.temperature, torch.zeros_like(source))


class KeyEncoder(nn.Module):
    """A slow copy of a model and its head, and the keys that it made in earlier steps.

    Args:
        model: Bound to a graph.
        head: Before the contrast.
        size: Q.
        seed: Seed of the first keys.

    Attributes:
        keys: ``[Q, D]``, unit vectors.
        sources: int64 ``[Q]``, global id of the root of each key, −1 for none.
        oldest: int64 scalar, the key that is replaced next.
        waiting: Keys and sources of this step, to enter the queue after it.
    """

    keys: Tensor
    sources: Tensor
    oldest: Tensor

    def __init__(self, model: Model, head: nn.Module, size: int, seed: int) -> None:
        super().__init__()
        if model.graph is None:
            hint = "model.attach_graph(graph)"
            raise GraphRecError("momentum_contrast", "a model with a graph", "none", hint)
        # Built anew, because compiled parts of a copy would still read the original model.
        self.model = type(model)(model.config, model.spec, tokenizer=model.tokenizer)
        self.model.attach_graph(model.graph)
        weights = model.state_dict()  # those of the model's heads are not needed
        self.model.load_state_dict({name: weights[name] for name in self.model.state_dict()})
        self.head = deepcopy(head)
        self.eval()
        draw = torch.Generator().manual_seed(seed)
        keys = torch.randn(size, model.width, generator=draw)
        self.register_buffer("keys", normalize(keys, dim=-1))
        self.register_buffer("sources", torch.full((size,), -1))
        self.register_buffer("oldest", torch.tensor(0))
        self.waiting: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def forward(self, view: View, pool: SequencePool) -> Tensor:
        """Encode sequences to keys: ``[n, D]`` unit vectors."""
        with self.model.cached_embeddings():
            states = self.head(self.model.encode(view).pooled(pool))
        return _unit(states)

    @torch.no_grad()
    def follow(self, model: Model, head: nn.Module, momentum: float) -> None:
        """Move every weight towards that of the model: ``θ_k ← m θ_k + (1 − m) θ_q``."""
        for slow, fast in ((self.model, model), (self.head, head)):
            weights = dict(fast.named_parameters())
            for name, mine in slow.named_parameters():
                mine.lerp_(weights[name], 1 - momentum)

    def enqueue(self) -> None:
        """Replace the oldest keys of the queue by those of this step."""
        if not self.waiting:
            return
        size = len(self.keys)
        keys, sources = (torch.cat(column)[-size:] for column in zip(*self.waiting, strict=True))
        place = (self.oldest + torch.arange(len(keys), device=keys.device)) % size
        self.keys[place], self.sources[place] = keys, sources
        self.oldest.copy_((self.oldest + len(keys)) % size)
        self.waiting.clear()


def _unit(vectors: Tensor) -> Tensor:
    """Return unit vectors of at least float32."""
    return normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)
