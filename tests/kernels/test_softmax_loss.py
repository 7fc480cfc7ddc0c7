import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.softmax_loss import sampled_softmax_loss, softmax_loss


def case(tokens=13, items=37, width=5, dtype=torch.float64, device="cpu", seed=0):
    """Rows, catalogue, targets (some ignored) and bias, with gradients wanted."""
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, width, generator=draw, dtype=dtype)
    table = torch.randn(items, width, generator=draw, dtype=dtype)
    target = torch.randint(items, (tokens,), generator=draw)
    target[1::4] = -100
    bias = torch.randn(items, generator=draw, dtype=dtype)
    inputs = [t.to(device).requires_grad_() for t in (hidden, table, bias)]
    return *inputs, target.to(device)


def gradients(loss, inputs):
    weights = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype, device=loss.device)
    return torch.autograd.grad((loss.flatten() * weights).sum(), inputs, retain_graph=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_equals_cross_entropy_of_the_logits(body, device, reduction, dtype, tolerance):
    hidden, table, bias, target = case(dtype=dtype, device=device)
    masked = torch.zeros(len(table), dtype=torch.bool, device=device)
    masked[[i for i in (0, 5, 36) if i not in target.tolist()]] = True
    temperature = torch.tensor(0.7, dtype=dtype, device=device, requires_grad=True)
    inputs = (hidden, table, bias, temperature)
    logits = hidden @ table.T / temperature + bias
    logits = logits.masked_fill(masked, float("-inf"))
    expected = cross_entropy(logits, target, reduction=reduction)
    for chunk in (None, 1, 4):
        loss = softmax_loss(
            hidden,
            table,
            target,
            bias=bias,
            masked=masked,
            temperature=temperature,
            reduction=reduction,
            chunk=chunk,
        )
        torch.testing.assert_close(loss, expected, rtol=tolerance, atol=tolerance)
        for ours, theirs in zip(gradients(loss, inputs), gradients(expected, inputs), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=10 * tolerance)


def test_hand_computed():
    hidden = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    table = torch.tensor([[0.0, 1.0], [torch.log(torch.tensor(3.0)), 0.0]])
    loss = softmax_loss(hidden, table, torch.tensor([0, 1]), reduction="none")
    torch.testing.assert_close(loss, torch.tensor([4.0, 2.0]).log())  # logits (0, ln 3), (0, 0)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck(body, device, reduction):
    hidden, table, bias, target = case(tokens=5, items=7, width=3, device=device)

    def loss(*inputs):
        h, w, b = inputs
        return softmax_loss(h, w, target, bias=b, reduction=reduction, chunk=2)

    assert torch.autograd.gradcheck(loss, (hidden, table, bias))


def test_several_blocks_of_the_catalogue(body, device, monkeypatch):
    # The Triton body walks a row in blocks; make them smaller than the row and not a divisor.
    if body == "triton":
        monkeypatch.setattr("graphrec_pt.kernels.triton.softmax_loss.BLOCK", 16)
    hidden, table, _, target = case(device=device)
    masked = torch.zeros(len(table), dtype=torch.bool, device=device)
    masked[:16] = True  # the first block is all −∞
    target = torch.where(target < 16, -100, target)
    loss = softmax_loss(hidden, table, target, masked=masked)
    expected = cross_entropy((hidden @ table.T).masked_fill(masked, float("-inf")), target)
    torch.testing.assert_close(loss, expected)
    inputs = (hidden, table)
    for ours, theirs in zip(gradients(loss, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_extreme_logits(body, device):
    hidden = torch.tensor([[1.0], [-1.0], [3e4]], device=device, requires_grad=True)
    table = torch.tensor([[1e4], [-1e4], [0.0]], device=device, requires_grad=True)
    target = torch.tensor([0, 0, 1], device=device)
    loss = softmax_loss(hidden, table, target, reduction="none")
    assert loss.tolist() == [0.0, 2e4, 6e8]
    total = softmax_loss(hidden, table, target, reduction="sum")
    expected = cross_entropy(hidden @ table.T, target, reduction="sum")
    pairs = zip(
        torch.autograd.grad(total, (hidden, table)),
        torch.autograd.grad(expected, (hidden, table)),
        strict=True,
    )
    for ours, theirs in pairs:
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("tokens", [0, 3])
def test_nothing_to_predict(body, device, tokens):
    hidden = torch.ones(tokens, 2, device=device, requires_grad=True)
    table = torch.ones(4, 2, device=device, requires_grad=True)
    target = torch.full((tokens,), -100, device=device)
    loss = softmax_loss(hidden, table, target)
    loss.backward()
    assert loss.item() == 0
    assert not hidden.grad.any()
    assert not table.grad.any()
    assert softmax_loss(hidden, table, target, reduction="none").equal(
        torch.zeros(tokens, device=device)
    )


def test_half_precision_and_autocast():
    hidden, table, _, target = case(dtype=torch.float32)
    exact = softmax_loss(hidden, table, target)
    with torch.autocast("cpu", torch.bfloat16):
        loss = softmax_loss(hidden, table, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=2e-2, atol=0)
    mine, theirs = (torch.autograd.grad(x, (hidden, table)) for x in (loss, exact))
    for a, b in zip(mine, theirs, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.1, atol=0.02)


class Largest(TorchDispatchMode):
    """Notes the most elements that any tensor made inside the block has."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_no_tensor_grows_with_tokens_times_catalogue(reduction):
    def largest(tokens):
        hidden, table, bias, target = case(tokens, items=3000, width=8, dtype=torch.float32)
        with Largest() as seen:
            options = {"bias": bias, "reduction": reduction, "chunk": 16}
            softmax_loss(hidden, table, target, **options).sum().backward()
        return seen.elements

    assert largest(100) == largest(1000) == 16 * 3008  # rows are rounded up to whole lines
    hidden, table, _, target = case(100, items=3000, width=8, dtype=torch.float32)
    with Largest() as seen:  # the way of counting sees the logits where they exist
        cross_entropy(hidden @ table.T, target).backward()
    assert seen.elements == 100 * 3000


def test_what_backward_keeps_is_no_larger_than_the_inputs():
    hidden, table, bias, target = case(200, items=500, width=8)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        softmax_loss(hidden, table, target, bias=bias, chunk=16)
    assert max(kept) == table.numel()


def test_evaluation_forms_no_gradient():
    hidden, table, _, target = case()
    with torch.no_grad():
        loss = softmax_loss(hidden, table, target)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, softmax_loss(hidden, table, target).detach())


def test_bad_input():
    hidden, table, bias, target = case()
    with pytest.raises(GraphRecError, match=r"softmax_loss: expected targets in \[0, 37\) or -100"):
        softmax_loss(hidden, table, target + 37)
    with pytest.raises(GraphRecError, match=r"hidden \[T, D\] and table \[V, D\]"):
        softmax_loss(hidden, table[:, :2], target)
    with pytest.raises(GraphRecError, match=r"expected target int64 \[13\]"):
        softmax_loss(hidden, table, target[:-1])
    with pytest.raises(GraphRecError, match=r"expected bias \[37\], got \[36\]"):
        softmax_loss(hidden, table, target, bias=bias[1:])
    with pytest.raises(GraphRecError, match="targets that are not masked"):
        softmax_loss(hidden, table, target, masked=torch.ones(37, dtype=torch.bool))
    with pytest.raises(GraphRecError, match="did you mean 'mean'"):
        softmax_loss(hidden, table, target, reduction="meen")
    with pytest.raises(GraphRecError, match="chunk >= 1"):
        softmax_loss(hidden, table, target, chunk=0)


@pytest.mark.parametrize("shared", [True, False])
def test_sampled_with_the_whole_catalogue_equals_full(shared):
    hidden, table, _, target = case()
    everything = torch.arange(len(table))
    negatives = everything if shared else everything.flip(0).expand(len(hidden), -1)
    zero = torch.zeros(negatives.shape, dtype=torch.float64)
    inputs = (hidden, table)
    expected = softmax_loss(hidden, table, target, temperature=0.5)
    constant = torch.full_like(hidden[:, 0], 1.7)
    for log_q_target, log_q in ((None, zero), (constant, zero + 1.7)):
        loss = sampled_softmax_loss(
            hidden, table, target, negatives, log_q_target, log_q, temperature=0.5
        )
        torch.testing.assert_close(loss, expected)
        for ours, theirs in zip(
            torch.autograd.grad(loss, inputs),
            torch.autograd.grad(expected, inputs, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


def test_correction_makes_the_denominator_unbiased():
    hidden, table, _, _ = case(tokens=6, items=20)
    target = torch.randint(20, (6,), generator=torch.Generator().manual_seed(1))
    draw = torch.Generator().manual_seed(2)
    popularity = torch.linspace(1, 10, 20, dtype=torch.float64).softmax(0) * 0.5 + 0.5 / 20
    popularity /= popularity.sum()
    full = softmax_loss(hidden, table, target)
    draws = 20_000
    negatives = torch.multinomial(popularity, draws, replacement=True, generator=draw)
    log_count = (draws * popularity).log()[negatives]
    with torch.no_grad():
        loss = sampled_softmax_loss(hidden, table, target, negatives, None, log_count)
        biased = sampled_softmax_loss(
            hidden, table, target, negatives, None, torch.full_like(log_count, 1000.0).log()
        )
    assert abs(loss - full) < 0.02
    assert abs(biased - full) > 0.2  # without the popularity of what was drawn it is elsewhere


def test_accidental_hits_do_not_count():
    hidden, table, _, target = case()
    target = target.clamp_min(0)
    negatives = target.unsqueeze(1).expand(-1, 4)  # nothing but hits
    log_q = torch.zeros(negatives.shape, dtype=torch.float64)
    assert sampled_softmax_loss(hidden, table, target, negatives, None, log_q).item() == 0


def test_sampled_bad_input():
    hidden, table, _, target = case()
    negatives = torch.tensor([3, 40])
    with pytest.raises(GraphRecError, match=r"negatives in \[0, 37\), got 40"):
        sampled_softmax_loss(hidden, table, target, negatives, None, torch.zeros(2))
    with pytest.raises(GraphRecError, match=r"log_q_negatives \[2\]"):
        sampled_softmax_loss(hidden, table, target, negatives, None, torch.zeros(3))
    with pytest.raises(GraphRecError, match=r"negatives int64 \[K\] or \[13, K\]"):
        sampled_softmax_loss(hidden, table, target, negatives.float(), None, torch.zeros(2))
