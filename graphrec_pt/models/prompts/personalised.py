"""Personalised prompts (PPR): a network makes the prompt from the user's profile."""

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.adaptor import device_of
from graphrec_pt.models.host import Host, PromptEncoder
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.prompts.family import prompt
from graphrec_pt.models.prompts.prefix_projection import PrefixProjection, Where, layers_of
from graphrec_pt.models.view import View
from graphrec_pt.tokens.kind import Kind, Special


@prompt("personalised")
class Personalised:
    """A prompt generated from a user's profile, as in PPR (Wu et al., TKDE 2024), re-derived.

    ``P_u = W₂ σ(W₁ x_u + b₁) + b₂``, cut into P vectors, where x_u is the user's vector as the
    features of the model make it: name ``categorical``, ``number``, ``text`` features of the
    profile's columns for the type, and cold users have prompts too.

    The user of a sequence is its first node of the type; where it holds none, the root that it
    was sampled for (``View.root``). A sequence of nobody, or of a user who is hidden in it, gets
    a learned x.

    Args:
        of: Node type of those who ask; by default the one that the first interaction leaves.
        size: P.
        inner: Width of the generator; D by default.
        where: Soft tokens, or keys and values in each layer.
        hide: Share of the numbers of x that are hidden in training, drawn anew in every pass: what
            PPR calls prompt-based augmentation. Two passes over one history then differ, for a
            contrast such as ``sequence_sequence``.
    """

    of: str | None = None
    size: int = Field(4, ge=1)
    inner: int | None = Field(None, ge=1)
    where: Where = "tokens"
    hide: float = Field(0.0, ge=0, lt=1)

    def attach(self, model: Host, seed: int) -> None:
        """Give the model a generator.

        Raises:
            GraphRecError: When the graph has no such node type, or no node type with interactions.
        """
        of, layers = self.of or _actor(model.spec), layers_of(model, self.where)
        model.spec.node_index(of)
        inner = self.inner or model.width
        shape = (of, self.size, model.width, inner, layers, self.hide)
        made = seeded(lambda: Generator(*shape), seed)
        model.prompt = made.to(device_of(model))


class Generator(PromptEncoder):
    """The network of :class:`Personalised`.

    Args:
        of: Node type of those who ask.
        size: P.
        width: D.
        inner: Width between the two maps.
        layers: See :class:`~graphrec_pt.models.prompts.prefix_projection.PrefixProjection`.
        hide: Share of the numbers of a profile that are hidden in training.
    """

    def __init__(
        self,
        of: str,
        size: int,
        width: int,
        inner: int,
        layers: tuple[int, int, int] | None,
        hide: float = 0.0,
    ) -> None:
        super().__init__()
        self.of, self.size = of, size
        self.hidden = nn.Dropout(hide)
        self.nobody = nn.Embedding(1, width)
        self.inner, self.made = nn.Linear(width, inner), nn.Linear(inner, size * width)
        self.outlet = PrefixProjection(width, layers)

    def forward(self, view: View, model: Host) -> PromptStates:
        """Return one prompt for each sequence."""
        ids = model.spec.ids(self.of)
        who = askers(view, ids, model.spec.node_index(self.of))  # [B]
        known = (who >= 0).nonzero().squeeze(1)
        x = self.nobody.weight.expand(len(who), -1)  # [B, D]
        if len(known):
            x = x.index_copy(0, known, model.nodes(who[known]).to(x.dtype))
        made = self.made(torch.sigmoid(self.inner(self.hidden(x))))  # [B, P · D]
        states: PromptStates = self.outlet(made.unflatten(1, (self.size, -1)))  # [B, P, D]
        return states


def askers(view: View, ids: range, node_type: int) -> Tensor:
    """Return the user of each sequence: int64 ``[B]`` global ids, −1 for nobody.

    Args:
        view: B sequences.
        ids: Ids of the nodes of the type.
        node_type: Its number.

    Raises:
        GraphRecError: When a sequence does not tell and the view has no roots.
    """
    tokens = view.tokens
    who = torch.full((len(tokens),), -1, dtype=torch.int64, device=tokens.ptr.device)
    silent = torch.ones_like(who, dtype=torch.bool)
    hidden = (tokens.kind == Kind.SPECIAL) & (tokens.id == Special.MASK) & (tokens.hop == 0)
    silent[tokens.sequence_of()[hidden & (tokens.type == node_type)]] = False
    of_type = (tokens.kind == Kind.NODE) & (tokens.id >= ids.start) & (tokens.id < ids.stop)
    at = (of_type & silent[tokens.sequence_of()]).nonzero().squeeze(1)
    row = tokens.sequence_of()[at]  # never falls
    first = torch.ones_like(row, dtype=torch.bool)
    first[1:] = row[1:] != row[:-1]
    who[row[first]] = tokens.id[at[first]]
    silent[row] = False
    if view.root is None:
        if bool(silent.any()):
            hint = "a linearizer that keeps the root, such as history with root: true"
            got = f"{int(silent.sum())} sequences of nobody"
            raise GraphRecError("prompt 'personalised'", "a user in every sequence", got, hint)
        return who
    root = view.root
    return torch.where(silent & (root >= ids.start) & (root < ids.stop), root, who)


def _actor(spec: GraphSpec) -> str:
    for relation in spec.relations:
        if relation.interaction and not relation.backward:
            return relation.source
    raise GraphRecError("prompt 'personalised'", "a node type that acts", "none", "of: user")
