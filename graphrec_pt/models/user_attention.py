"""Who a user is, from what the user liked: additive attention over vectors."""

import torch
from torch import Generator, Tensor, nn

from graphrec_pt.kernels.sparse import segment_softmax
from graphrec_pt.models.head import Head, head


@head("user_attention")
class UserAttention(Head):
    """``u = Σ_j a_j h_j`` with ``a = softmax_j(q · tanh(W h_j + b))``, as NRMS, NAML and PLM-NR.

    Wu et al., "Empowering news recommendation with pre-trained language models", SIGIR 2021, after
    Wu et al., "Neural news recommendation with multi-head self-attention", EMNLP 2019. A user
    without a history has a learned vector.

    Args:
        width: D.
        hidden: Rows of W.
        alone: Whether items have a score of their own, ``v · e_i``, whoever the user is.
    """

    def __init__(self, width: int, hidden: int, alone: bool = False) -> None:
        super().__init__()
        self.width, self.hidden = width, hidden
        self.alone = nn.Linear(width, 1, bias=False) if alone else None
        self.attend = nn.Linear(width, hidden)
        self.query = nn.Linear(hidden, 1, bias=False)
        self.nobody = nn.Parameter(torch.zeros(width))

    def options(self) -> dict[str, int | bool]:
        """Return the arguments that make a network of the same shape."""
        alone = self.alone is not None
        return {"width": self.width, "hidden": self.hidden, "alone": alone}

    def initialise(self, draw: Generator) -> None:
        """Draw the vector of a user without a history."""
        self.nobody.normal_(0, self.width**-0.5, generator=draw)

    def forward(self, states: Tensor, count: Tensor) -> Tensor:
        """Return one vector per user: ``[B, D]``.

        Args:
            states: ``[T, D]``, end to end.
            count: int64 ``[B]``, states of each user.
        """
        size = len(count)
        row = torch.arange(size, device=count.device)
        row = row.repeat_interleave(count, output_size=len(states))
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        share = segment_softmax(ptr, self.query(self.attend(states).tanh()).squeeze(1))  # [T]
        users = states.new_zeros(size, self.width)
        users = users.index_add(0, row, states * share.unsqueeze(1))
        return torch.where((count == 0).unsqueeze(1), self.nobody.to(users.dtype), users)
