"""Cross-entropy over a catalogue without its logits, whole or sampled."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.kernels.csr import check_positive
from graphrec_pt.kernels.dispatch import body

IGNORED = -100  # a target that has no loss
Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS = ("mean", "sum", "none")
_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
# Logits held at once: enough rows for BLAS to be fast, few enough to stay small. A GPU needs more
# rows to be busy. 128 rows are as large as a table of width 128, which is in memory anyway.
_BUDGET = {"cpu": 1 << 24, "cuda": 1 << 27}
_FEWEST_ROWS = 128
_LINE = 16  # numbers


def softmax_loss(
    hidden: Tensor,
    table: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    masked: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    reduction: Reduction = "mean",
    chunk: int | None = None,
) -> Tensor:
    r"""Return the exact cross-entropy of each token over the whole catalogue.

    .. math:: \ell_i = \log \sum_v \exp(s_{iv}) - s_{i y_i}, \quad
              s_{iv} = h_i \cdot w_v / \tau + b_v

    The logits ``[T, V]`` never exist: `chunk` rows are scored, and where a gradient will be
    needed it is formed at once from the same block, so that a step costs the three products of
    the plain way and no recomputation (Hsu et al., "Liger Kernel", 2024). Only
    ``reduction="none"`` scores a second time in backward, because the weights of its tokens are
    unknown before. The CPU uses the torch body, where BLAS does the work.

    Args:
        hidden: Floats ``[T, D]``.
        table: ``[V, D]`` of the same type, one vector per item.
        target: int64 ``[T]`` in ``[0, V)``; −100 has no loss and costs nothing.
        bias: ``[V]``, added to the scores.
        masked: bool ``[V]``, items that are never predicted (PAD, MASK, unused): score −∞.
        temperature: τ above 0; a 0-dimensional tensor may be learned.
        reduction: ``"mean"`` over tokens that have a target (0 when none has), ``"sum"``, or
            ``"none"``: ``[T]`` with 0 for ignored tokens.
        chunk: Rows scored at once; by default about 64 MB of them (512 MB on CUDA), at least 128.

    Returns:
        Scalar or ``[T]``, float32 or better; differentiable once in `hidden`, `table`, `bias`
        and `temperature`. Under autocast the products run in its type.

    Raises:
        GraphRecError: For shapes or types that do not fit, and targets outside the catalogue or
            masked.
    """
    if reduction not in _REDUCTIONS:
        hint = did_you_mean(str(reduction), _REDUCTIONS)
        raise GraphRecError("softmax_loss", "a reduction", repr(reduction), hint)
    hidden, table = autocasted(hidden), autocasted(table)
    check_catalogue("softmax_loss", hidden, table, target)
    bias = _with_mask(bias, masked, len(table), torch.promote_types(table.dtype, torch.float32))
    kept = (target != IGNORED).nonzero().squeeze(1)
    labels = target[kept]
    _check_labels(labels, masked, len(table))
    rows = hidden.index_select(0, kept) / temperature  # [kept, D]
    if chunk is None:
        chunk = max(_FEWEST_ROWS, _BUDGET.get(hidden.device.type, 1 << 24) // max(len(table), 1))
    check_positive("softmax_loss", "chunk", chunk)
    summed, ahead = reduction != "none", torch.is_grad_enabled()
    loss: Tensor = _SoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        rows, table, bias, labels, chunk, summed, ahead
    )
    if reduction == "none":
        return loss.new_zeros(len(target)).index_copy(0, kept, loss)
    return loss / max(len(kept), 1) if reduction == "mean" else loss


def autocasted(tensor: Tensor) -> Tensor:
    """Return the tensor in the type of an enclosing autocast, if there is one."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind) and tensor.dtype != torch.float64:
        return tensor.to(torch.get_autocast_dtype(kind))
    return tensor


def check_catalogue(who: str, hidden: Tensor, table: Tensor, target: Tensor) -> None:
    """Raise unless rows, catalogue and targets fit together."""
    fits = hidden.ndim == table.ndim == 2 and hidden.shape[1] == table.shape[1]
    if not fits or hidden.dtype != table.dtype or hidden.dtype not in _FLOATS:
        raise GraphRecError(
            who,
            "hidden [T, D] and table [V, D] of one floating type",
            f"{hidden.dtype} {list(hidden.shape)} and {table.dtype} {list(table.shape)}",
        )
    if target.dtype != torch.int64 or target.shape != hidden.shape[:1]:
        raise GraphRecError(
            who, f"target int64 [{len(hidden)}]", f"{target.dtype} {list(target.shape)}"
        )


def _check_labels(labels: Tensor, masked: Tensor | None, items: int) -> None:
    if not len(labels):
        return
    low, high = (int(bound) for bound in torch.aminmax(labels))
    if low < 0 or high >= items:
        wrong = low if low < 0 else high
        expected = f"targets in [0, {items}) or {IGNORED}"
        raise GraphRecError("softmax_loss", expected, wrong)
    if masked is not None and bool(masked[labels].any()):
        item = int(labels[masked[labels]][0])
        raise GraphRecError("softmax_loss", "targets that are not masked", f"item {item}")


def _with_mask(
    bias: Tensor | None, masked: Tensor | None, items: int, dtype: torch.dtype
) -> Tensor | None:
    """Return the bias with −∞ for masked items."""
    for name, given in (("bias", bias), ("masked", masked)):
        if given is not None and given.shape != (items,):
            raise GraphRecError("softmax_loss", f"{name} [{items}]", list(given.shape))
    if bias is not None:
        bias = bias.to(dtype)
    if masked is None:
        return bias
    if masked.dtype != torch.bool:
        raise GraphRecError("softmax_loss", "masked bool", masked.dtype)
    floor = torch.zeros(items, dtype=dtype, device=masked.device) if bias is None else bias
    return floor.masked_fill(masked, float("-inf"))


class _SoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor | None,
        target: Tensor,
        chunk: int,
        summed: bool,
        ahead: bool,
    ) -> Tensor:
        ctx.chunk, ctx.summed = chunk, summed
        needed = ctx.needs_input_grad[:3] if summed and ahead else (False,) * 3
        loss, *gradients = _by_blocks(hidden, table, bias, target, chunk, needed)
        ctx.save_for_backward(*(gradients if summed else (hidden, table, bias, target)))
        return loss.sum() if summed else loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        if ctx.summed:
            gradients = [None if g is None else g * grad.to(g.dtype) for g in ctx.saved_tensors]
        else:
            hidden, table, bias, target = ctx.saved_tensors
            needed = ctx.needs_input_grad[:3]
            _, *gradients = _by_blocks(hidden, table, bias, target, ctx.chunk, needed, grad)
        return *gradients, None, None, None, None


def _by_blocks(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor | None,
    target: Tensor,
    chunk: int,
    needed: tuple[bool, ...],
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return the losses ``[T]`` and the needed gradients of their (weighted) sum."""
    exact = torch.promote_types(hidden.dtype, torch.float32)
    loss = torch.empty(len(hidden), dtype=exact, device=hidden.device)
    d_hidden = torch.empty_like(hidden) if needed[0] else None
    d_table = torch.zeros_like(table, dtype=exact) if needed[1] else None
    d_bias = torch.zeros_like(bias) if needed[2] and bias is not None else None
    # Rows of a whole number of cache lines: products write them up to twice as fast.
    items, width = len(table), -(-len(table) // _LINE) * _LINE
    buffer = loss.new_empty(min(chunk, len(hidden)), width)  # [chunk, V and a little]
    of_block = body("softmax_loss", hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        for low in range(0, len(hidden), chunk):
            part = slice(low, low + chunk)
            rows = hidden[part]
            block = buffer[: len(rows)]
            block[:, items:] = float("-inf")
            logits = block[:, :items]  # [chunk, V]
            if exact == hidden.dtype:
                torch.mm(rows, table.T, out=logits)
            else:
                logits.copy_(rows @ table.T)
            if bias is not None:
                logits += bias
            loss[part] = of_block(block, target[part], any(needed))
            if not any(needed):
                continue
            if weight is not None:
                logits *= weight[part].unsqueeze(1)
            share = logits.to(hidden.dtype)
            if d_hidden is not None:
                torch.mm(share, table, out=d_hidden[part])
            if d_table is not None and exact == hidden.dtype:
                d_table.addmm_(share.T, rows)
            elif d_table is not None:
                d_table += share.T @ rows
            if d_bias is not None:
                d_bias += logits.sum(0)
    return loss, d_hidden, None if d_table is None else d_table.to(table.dtype), d_bias


def sampled_softmax_loss(
    hidden: Tensor,
    table: Tensor,
    target: Tensor,
    negatives: Tensor,
    log_q_target: Tensor | None,
    log_q_negatives: Tensor,
    *,
    temperature: float | Tensor = 1.0,
) -> Tensor:
    r"""Return the mean cross-entropy of each target against drawn negatives, with logQ correction.

    .. math:: \ell_i = -\log \frac{\exp(s_{iy} - \log q_y)}
              {\exp(s_{iy} - \log q_y) + \sum_{j \ne y} \exp(s_{ij} - \log q_j)}

    (Bengio and Senécal, "Adaptive importance sampling", 2008; Yi et al., RecSys 2019.) A negative
    that is its row's own target is an accidental hit and does not count. With ``log_q_target``
    None and ``log_q_negatives`` the log of *expected counts* (K times the probability), the
    denominator estimates the full sum without bias, so the loss tends to
    :func:`~graphrec_pt.kernels.softmax_loss.softmax_loss` as K grows, and equals it when the
    negatives are the whole catalogue, once each.

    Args:
        hidden: Floats ``[T, D]``.
        table: ``[V, D]`` of the same type.
        target: int64 ``[T]`` in ``[0, V)``; −100 has no loss.
        negatives: int64 ``[K]``, shared by all tokens, or ``[T, K]``.
        log_q_target: ``[T]``, subtracted from the target's score; None for nothing.
        log_q_negatives: Of the shape of `negatives`.
        temperature: Above 0.

    Returns:
        Scalar, float32 or better; 0 when no token has a target.

    Raises:
        GraphRecError: For shapes or types that do not fit, and items outside the catalogue.
    """
    who = "sampled_softmax_loss"
    hidden, table = autocasted(hidden), autocasted(table)
    check_catalogue(who, hidden, table, target)
    _check_negatives(who, negatives, log_q_negatives, len(hidden))
    kept = (target != IGNORED).nonzero().squeeze(1)
    rows, labels = hidden[kept] / temperature, target[kept]
    shared = negatives.ndim == 1
    drawn = negatives if shared else negatives[kept]
    for name, items in (("target", labels), ("negatives", drawn)):
        if items.numel() and not 0 <= int(items.min()) <= int(items.max()) < len(table):
            raise GraphRecError(who, f"{name} in [0, {len(table)})", int(items.max()))
    true = (rows * table[labels]).sum(1, dtype=torch.promote_types(rows.dtype, torch.float32))
    if log_q_target is not None:
        true = true - log_q_target[kept]
    form = "td,kd->tk" if shared else "td,tkd->tk"
    false = torch.einsum(form, rows, table[drawn])  # [T, K]
    false = false.to(true.dtype) - (log_q_negatives if shared else log_q_negatives[kept])
    false = false.masked_fill(drawn == labels.unsqueeze(1), float("-inf"))
    scores = torch.cat([true.unsqueeze(1), false], dim=1)  # [T, 1 + K]
    first = torch.zeros_like(labels)
    return cross_entropy(scores, first, reduction="sum") / max(len(kept), 1)


def _check_negatives(who: str, negatives: Tensor, log_q: Tensor, tokens: int) -> None:
    fits = negatives.ndim == 1 or (negatives.ndim == 2 and len(negatives) == tokens)
    if negatives.dtype != torch.int64 or not fits:
        got = f"{negatives.dtype} {list(negatives.shape)}"
        raise GraphRecError(who, f"negatives int64 [K] or [{tokens}, K]", got)
    if log_q.shape != negatives.shape:
        raise GraphRecError(who, f"log_q_negatives {list(negatives.shape)}", list(log_q.shape))


def torch_softmax_loss(logits: Tensor, target: Tensor, gradient: bool) -> Tensor:
    """Return the loss of each row; with `gradient`, its gradient replaces the logits.

    Args:
        logits: float32 or float64 ``[T, V]``, contiguous; overwritten with softmax − one-hot when
            `gradient` is set.
        target: int64 ``[T]`` in ``[0, V)``.
        gradient: Whether it will be needed.

    Returns:
        ``[T]`` of the type of `logits`.
    """
    picked = logits.gather(1, target.unsqueeze(1)).squeeze(1)  # [T]
    if not gradient:
        return torch.logsumexp(logits, dim=1) - picked
    highest = logits.amax(dim=1)
    torch.softmax(logits, dim=1, out=logits)
    # The largest share is exp(0) / Σ exp(s − max), so one cheap pass gives the sum back.
    loss = highest - logits.amax(dim=1).log() - picked
    logits[torch.arange(len(logits), device=logits.device), target] -= 1
    return loss
