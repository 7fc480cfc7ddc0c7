import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.heads import FeatureHead, ItemHead, PairHead, RelationHead, TextHead

OPTIONS = [
    {},
    {"items": 30},
    {"transform": True},
    {"cosine": True, "temperature": 0.1},
    {"items": 30, "transform": True, "cosine": True, "temperature": 2.0},
]


def case(seed=0):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(9, 8, generator=draw, requires_grad=True)
    table = torch.randn(30, 8, generator=draw, requires_grad=True)
    target = torch.randint(1, 30, (9,), generator=draw)
    target[3] = -100
    return hidden, table, target


@pytest.mark.parametrize("options", OPTIONS)
def test_item_loss_equals_cross_entropy_of_its_scores(options):
    hidden, table, target = case()
    head = seeded(lambda: ItemHead(8, **options), 0)
    if head.bias is not None:
        torch.nn.init.uniform_(head.bias, generator=torch.Generator().manual_seed(0))
    masked = torch.arange(30) == 0
    scores = head(hidden, table).masked_fill(masked, float("-inf"))
    expected = cross_entropy(scores, target)
    loss = head.loss(hidden, table, target, masked=masked)
    torch.testing.assert_close(loss, expected)
    inputs = [hidden, table, *head.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_text_head_is_the_masked_language_model_head_of_bert():
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLMPredictionHead

    head = seeded(lambda: TextHead(8, 30), 0)
    config = BertConfig(vocab_size=30, hidden_size=8, layer_norm_eps=1e-5)
    theirs = BertLMPredictionHead(config)
    hidden, table, _ = case()
    torch.nn.init.uniform_(head.bias, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs.transform.dense.load_state_dict(head.transform[0].state_dict())
        theirs.decoder.weight.copy_(table)
        theirs.decoder.bias.copy_(head.bias)
        theirs.bias.copy_(head.bias)
    torch.testing.assert_close(head(hidden, table), theirs(hidden))


def test_relation_head_by_hand():
    head = seeded(lambda: RelationHead(2, 2), 0)
    with torch.no_grad():
        head.source.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        head.target.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        head.relation.weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        head.relation.bias.copy_(torch.tensor([0.0, 0.5]))
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    assert head(a, b).tolist() == [[17.0, -6.5]]  # (1, 4) ⊙ (5, 3) = (5, 12)
    assert head(b, a).tolist() == [[16.0, -3.5]]  # (3, 10) ⊙ (2, 1) = (6, 10)


def trained(head, loss, steps=150):
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    return value.item()


def test_heads_learn_what_they_are_for():
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 64, 8, generator=draw)
    relation = (a[:, 0] * b[:, 1] > 0).long() + 2 * (a[:, 2] * b[:, 3] > 0)
    head = seeded(lambda: RelationHead(8, 4), 0)
    assert trained(head, lambda: cross_entropy(head(a, b), relation)) < 0.2
    same = (a[:, 0] * b[:, 0] > 0).float()
    pair = seeded(lambda: PairHead(8), 0)
    assert trained(pair, lambda: binary_cross_entropy_with_logits(pair(a, b), same)) < 0.1
    feature = seeded(lambda: FeatureHead(8, 3), 0)
    wanted = a[:, :3] * 2 + 1
    assert trained(feature, lambda: mse_loss(feature(a), wanted)) < 0.2
    assert feature(a).shape == (64, 3)
    assert pair(a, b).shape == (64,)
