"""The user vector against a loop over users."""

import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.user_attention import UserAttention


def test_against_a_loop() -> None:
    head = seeded(lambda: UserAttention(4, 3), 0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    states = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    users = head(states, torch.tensor([2, 0, 3]))
    for row, mine in ((0, states[:2]), (2, states[2:])):
        logit = (mine @ head.attend.weight.T + head.attend.bias).tanh() @ head.query.weight[0]
        assert torch.allclose(users[row], logit.softmax(0) @ mine, atol=1e-6)
    assert torch.equal(users[1], head.nobody)


def test_it_is_made_again_from_its_options() -> None:
    head = seeded(lambda: UserAttention(4, 3, alone=True), 0)
    again = UserAttention(**head.options())
    assert {n: p.shape for n, p in again.named_parameters()} == {
        n: p.shape for n, p in head.named_parameters()
    }
