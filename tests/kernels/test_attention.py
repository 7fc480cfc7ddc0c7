import warnings
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.attention import MODES, attention, buckets, seen

LENGTHS = (5, 0, 1, 12, 7, 5, 0, 31, 2, 30)
HEADS, WIDTH, PROMPT = 3, 4, 2


class Batch:
    """Packed random q, k, v and everything a mode may need."""

    def __init__(self, lengths=LENGTHS, seed=0, width=WIDTH, dtype=torch.float64):
        self.draw = torch.Generator().manual_seed(seed)
        self.ptr = torch.tensor([0, *lengths]).cumsum(0)
        tokens, sequences = int(self.ptr[-1]), len(lengths)
        options = {"generator": self.draw, "dtype": dtype}
        self.q, self.k, self.v = (
            torch.randn(tokens, HEADS, width, **options).requires_grad_() for _ in range(3)
        )
        self.order = torch.cat([torch.randperm(n, generator=self.draw) for n in lengths])
        self.prefix = torch.tensor([min(n, 3) for n in lengths])
        self.prompt = tuple(
            torch.randn(sequences, HEADS, PROMPT, width, **options).requires_grad_()
            for _ in range(2)
        )
        pairs = [
            (low + int(a), low + int(b))
            for low, high in pairwise(self.ptr.tolist())
            for a, b in torch.randint(max(high - low, 1), (4, 2), generator=self.draw).tolist()
            if high > low
        ]
        self.pairs = torch.tensor(pairs)
        self.value = torch.randn(len(pairs), HEADS, **options).requires_grad_()

    @property
    def bias(self):
        return self.pairs[:, 0], self.pairs[:, 1], self.value

    def inputs(self):
        return self.q, self.k, self.v

    def needs(self, mode):
        found = {"order": self.order} if "permuted" in mode else {}
        return found | ({"prefix": self.prefix} if mode == "prefix" else {})


def sees(batch, mode, b, i, j):
    """Whether token i of sequence b sees token j, said in words."""
    low = int(batch.ptr[b])
    order = batch.order[low:].tolist()
    return {
        "bidirectional": lambda: True,
        "causal": lambda: j <= i,
        "prefix": lambda: j <= i or j < int(batch.prefix[b]),
        "permuted": lambda: i == j or order[j] < order[i],
        "permuted_query": lambda: order[j] < order[i],
    }[mode]()


def naive(batch, mode, prompt=None, bias=False, scale=None):
    """One query and one head at a time."""
    width = batch.q.shape[2]
    out = torch.zeros_like(batch.q)
    for b, (low, high) in enumerate(pairwise(batch.ptr.tolist())):
        for i in range(high - low):
            inside = [j for j in range(high - low) if sees(batch, mode, b, i, j)]
            for h in range(HEADS):
                keys, values = batch.k[low:high, h][inside], batch.v[low:high, h][inside]
                added = batch.q.new_zeros(len(inside))
                if bias:
                    for (x, y), value in zip(batch.pairs.tolist(), batch.value, strict=True):
                        if x == low + i and y - low in inside:
                            spot = torch.zeros_like(added)
                            spot[inside.index(y - low)] = 1
                            added = added + spot * value[h]
                if prompt is not None:
                    whose = b if len(prompt[0]) > 1 else 0
                    keys = torch.cat([prompt[0][whose, h], keys])
                    values = torch.cat([prompt[1][whose, h], values])
                    added = torch.cat([added.new_zeros(PROMPT), added])
                if len(keys):
                    score = keys @ batch.q[low + i, h] * (scale or width**-0.5) + added
                    row = score.softmax(0) @ values
                    out = out.index_put((torch.tensor(low + i), torch.tensor(h)), row)
    return out


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("extra", ["", "prompt", "shared prompt", "bias", "prompt and bias"])
def test_equals_one_query_at_a_time(mode, extra):
    batch = Batch((5, 0, 1, 9, 10, 7))
    prompt = batch.prompt if "prompt" in extra else None
    if extra == "shared prompt":
        prompt = tuple(p[:1] for p in prompt)
    bias = batch.bias if "bias" in extra else None
    options = {"mode": mode, "prompt": prompt, "bias": bias, **batch.needs(mode)}
    out = attention(*batch.inputs(), batch.ptr, scale=0.7, **options)
    expected = naive(batch, mode, prompt, bias is not None, scale=0.7)
    torch.testing.assert_close(out, expected)
    inputs = [*batch.inputs(), *(batch.prompt if prompt else ()), *([batch.value] if bias else [])]
    weights = torch.randn(out.shape, generator=batch.draw, dtype=out.dtype)
    ours = torch.autograd.grad((out * weights).sum(), inputs)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prompted", [False, True])
def test_flex_attention_equals_the_buckets(mode, prompted):
    pytest.importorskip("triton")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    from graphrec_pt.kernels.dispatch import forced_body

    batch = Batch(width=16, dtype=torch.float32)
    options = {"mode": mode, **batch.needs(mode)}
    for size in (1, len(LENGTHS)) if prompted else (0,):
        prompt = tuple(p[:size] for p in batch.prompt) if size else None
        with torch.no_grad():
            expected = attention(*batch.inputs(), batch.ptr, prompt=prompt, **options)
            moved = {
                n: x.to(device) if isinstance(x, torch.Tensor) else x for n, x in options.items()
            }
            heads = [x.to(device) for x in batch.inputs()]
            there = tuple(p.to(device) for p in prompt) if size else None
            with forced_body("triton"), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*flex_attention called without")
                out = attention(*heads, batch.ptr.to(device), prompt=there, **moved)
        torch.testing.assert_close(out.cpu(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prompt", ["", "own", "shared"])
def test_the_blocks_of_flex_attention_hold_all_that_is_seen(mode, prompt):
    pytest.importorskip("triton")
    from torch.nn.attention.flex_attention import create_block_mask

    from graphrec_pt.kernels.triton.attention import _block_mask

    batch = Batch((300, 0, 7, 40, 90, 129, 1, 0))
    prompts = {"": 0, "own": 8, "shared": 1}[prompt]
    sight = seen(batch.ptr, mode, **batch.needs(mode))
    mask = _block_mask(batch.ptr, sight, prompts, 50 if prompts else 0)
    every = create_block_mask(mask.mask_mod, None, None, *mask.seq_lengths, device="cpu")
    ours, needed = mask.to_dense().bool(), every.to_dense().bool()
    assert ours.shape == needed.shape
    assert ours[needed].all()
    if mode in ("bidirectional", "causal"):
        assert ours.equal(needed)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gradients_of_flex_attention():
    batch = Batch((40, 7, 0, 130), width=16, dtype=torch.float32)
    expected = attention(*batch.inputs(), batch.ptr, mode="causal").pow(2).sum()
    heads = [x.detach().cuda().requires_grad_() for x in batch.inputs()]
    out = attention(*heads, batch.ptr.cuda(), mode="causal").pow(2).sum()
    ours, theirs = torch.autograd.grad(out, heads), torch.autograd.grad(expected, batch.inputs())
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=1e-3, atol=1e-4)


def test_gradcheck():
    batch = Batch((3, 0, 2))

    def loss(q, k, v, key, value, bias):
        options = {"prompt": (key, value), "bias": (*batch.pairs.T, bias)}
        return attention(q, k, v, batch.ptr, mode="causal", **options)

    assert torch.autograd.gradcheck(loss, (*batch.inputs(), *batch.prompt, batch.value))


def test_function_as_bias_equals_pairs():
    batch = Batch((4, 9, 3))
    distance = torch.linspace(-1, 1, HEADS, dtype=torch.float64)

    def bias(query, key):
        return (query - key).abs().unsqueeze(-1) * distance

    pairs = [
        (i, j)
        for low, high in pairwise(batch.ptr.tolist())
        for i in range(low, high)
        for j in range(low, high)
    ]
    query, key = torch.tensor(pairs).T.contiguous()
    value = (query - key).abs().unsqueeze(1) * distance
    for mode in ("bidirectional", "causal"):
        out = attention(*batch.inputs(), batch.ptr, mode=mode, bias=bias)
        same = attention(*batch.inputs(), batch.ptr, mode=mode, bias=(query, key, value))
        torch.testing.assert_close(out, same)
        per_token = attention(*batch.inputs(), batch.ptr, mode=mode, bias=(query, key, value[:, 0]))
        assert not torch.allclose(out, per_token)


@pytest.mark.parametrize("mode", MODES)
def test_order_of_sequences_does_not_matter(mode):
    batch = Batch()
    out = attention(*batch.inputs(), batch.ptr, mode=mode, **batch.needs(mode))
    turned = torch.randperm(len(LENGTHS), generator=batch.draw)
    tokens = torch.cat([torch.arange(batch.ptr[b], batch.ptr[b + 1]) for b in turned.tolist()])
    ptr = torch.tensor([0, *(LENGTHS[b] for b in turned.tolist())]).cumsum(0)
    needs = {
        name: x[tokens] if name == "order" else x[turned] for name, x in batch.needs(mode).items()
    }
    again = attention(*(x[tokens] for x in batch.inputs()), ptr, mode=mode, **needs)
    torch.testing.assert_close(again, out[tokens])


@pytest.mark.parametrize("mode", MODES)
def test_other_sequences_and_padding_never_leak(mode):
    batch = Batch()
    out = attention(*batch.inputs(), batch.ptr, mode=mode, **batch.needs(mode))
    low, high = int(batch.ptr[7]), int(batch.ptr[8])  # the longest: its row is what others pad to
    inside = torch.zeros(len(out), dtype=torch.bool)
    inside[low:high] = True
    changed = [torch.where(inside[:, None, None], 1e6, x) for x in batch.inputs()]
    again = attention(*changed, batch.ptr, mode=mode, **batch.needs(mode))
    assert again[~inside].equal(out[~inside])
    assert not again[inside].equal(out[inside])
    (grad,) = torch.autograd.grad(out[~inside].sum(), batch.v)
    assert not grad[inside].any()


def test_two_streams_leak_nothing():
    batch = Batch((9,))
    order = batch.order
    for mode in ("permuted", "permuted_query"):
        out = attention(*batch.inputs(), batch.ptr, mode=mode, order=order)
        for j in range(9):
            keys, values = batch.k.detach().clone(), batch.v.detach().clone()
            keys[j], values[j] = 100.0, -100.0
            again = attention(batch.q, keys, values, batch.ptr, mode=mode, order=order)
            same = (again == out).flatten(1).all(1)
            may_see = order >= order[j] if mode == "permuted" else order > order[j]
            assert same[~may_see].all()
            assert not same[may_see].any()
    first = order.argmin()
    assert not out[first].any()  # it sees nothing, not even itself


def test_buckets_hold_every_token_once_with_little_padding():
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(51, (500,), generator=draw)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    layout = buckets(ptr)
    assert buckets(ptr) is layout
    flat = torch.cat([bucket.token.flatten() for bucket in layout.each])
    assert flat[layout.place].equal(torch.arange(int(ptr[-1])))
    cells = sum((len(b.sequence) * int(lengths[b.sequence].max())) for b in layout.each)
    assert layout.padding == pytest.approx(1 - int(ptr[-1]) / cells)
    assert layout.padding < 0.1
    assert len(layout.each) <= 12
    assert buckets(ptr[:1]).each == ()


def test_equal_lengths_need_no_mask():
    batch = Batch((6, 6, 6))
    dense = [x.view(3, 6, HEADS, WIDTH).transpose(1, 2) for x in batch.inputs()]
    expected = scaled_dot_product_attention(*dense).transpose(1, 2).reshape(18, HEADS, WIDTH)
    torch.testing.assert_close(attention(*batch.inputs(), batch.ptr), expected)
    assert buckets(batch.ptr).each[0].real is None


def test_dropout_leaves_out_weights():
    batch = Batch((200,))
    ones = torch.ones_like(batch.v)
    out = attention(batch.q, batch.k, ones, batch.ptr, dropout=0.5)
    assert abs(out.mean() - 1) < 0.05  # rescaled
    assert out.std() > 0.01
    assert attention(batch.q, batch.k, ones, batch.ptr).std() < 1e-9


@pytest.mark.parametrize("lengths", [(), (0, 0)])
@pytest.mark.parametrize("mode", MODES)
def test_no_tokens(lengths, mode):
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    none = torch.empty(0, HEADS, WIDTH)
    order = torch.empty(0, dtype=torch.int64)
    prefix = torch.zeros(len(lengths), dtype=torch.int64)
    out = attention(none, none, none, ptr, mode=mode, order=order, prefix=prefix)
    assert out.shape == (0, HEADS, WIDTH)


def test_bad_input():
    batch = Batch()
    heads = batch.inputs()
    with pytest.raises(GraphRecError, match="did you mean 'causal'"):
        attention(*heads, batch.ptr, mode="casual")
    with pytest.raises(GraphRecError, match=r"order int64 \[93\] for mode 'permuted', got none"):
        attention(*heads, batch.ptr, mode="permuted")
    with pytest.raises(GraphRecError, match=r"prefix int64 \[10\]"):
        attention(*heads, batch.ptr, mode="prefix", prefix=batch.prefix[1:])
    with pytest.raises(GraphRecError, match="ptr ascending from 0 to 93"):
        attention(*heads, batch.ptr[:-1])
    with pytest.raises(GraphRecError, match=r"q, k, v \[T, H, d\]"):
        attention(batch.q[:-1], batch.k, batch.v, batch.ptr)
    with pytest.raises(GraphRecError, match=r"prompt keys and values \[10 or 1, 3, P, 4\]"):
        attention(*heads, batch.ptr, prompt=tuple(p[:2] for p in batch.prompt))
    query, key, value = batch.bias
    far = torch.tensor([0]), torch.tensor([92])
    with pytest.raises(GraphRecError, match=r"bias within a sequence, got tokens \[0, 92\]"):
        attention(*heads, batch.ptr, bias=(*far, value[:1]))
    with pytest.raises(GraphRecError, match=r"bias of tokens in \[0, 93\)"):
        attention(*heads, batch.ptr, bias=(query + 93, key, value))
    with pytest.raises(GraphRecError, match=r"bias \(int64 \[M\]"):
        attention(*heads, batch.ptr, bias=(query, key, value[:, :2]))
