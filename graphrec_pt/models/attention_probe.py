"""A probe of four tokens that shows whether a model respects the attention mask of a mode."""

from collections.abc import Callable

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.attention import seen
from graphrec_pt.models.positions import places

TOKENS = 4
LEAK = 1e-4  # share of the greatest change that rounding may cause through hidden tokens


def attention_violation(
    run: Callable[..., Tensor],
    mode: str,
    width: int,
    prompt: tuple[int, int, int] | None,
    some: Tensor,
) -> str:
    """Return how a model violates the attention mask of a mode; an empty text if it respects it.

    Sequence i differs from the last one in token i alone: tokens that see i must change, no others.
    With a per-layer prompt every token must change when the prompt changes.

    Args:
        run: From (x ``[T, H]``, ptr, position, mode, order, prefix, keys and values) to ``[T, H]``.
        mode: To be tried.
        width: H.
        prompt: Layers, heads and width of a head of a per-layer prompt; None for none.
        some: A weight, for type and device.
    """
    draw, device = torch.Generator().manual_seed(0), some.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(some)

    change = torch.eye(TOKENS + 1, TOKENS, device=device, dtype=some.dtype).unsqueeze(2)
    x = (normal(TOKENS, width) + change * normal(TOKENS, width)).flatten(0, 1)
    ptr = torch.arange(0, len(x) + 1, TOKENS, device=device)
    order = torch.tensor([2, 0, 3, 1], device=device).repeat(TOKENS + 1)
    prefix = torch.full((TOKENS + 1,), 2, device=device)
    prompts: list[tuple[Tensor, Tensor] | None] = [None]
    if prompt is not None:
        layers, heads, wide = prompt
        shape = (layers, 1, heads, 3, wide)
        prompts = [(normal(*shape), normal(*shape)) for _ in range(2)]
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            given = (x, ptr, places(ptr, len(x)), mode, order, prefix)
            outputs = [run(*given, each) for each in prompts]
    except GraphRecError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        return (str(error).splitlines() or ["it fails"])[0]
    states = outputs[0].view(TOKENS + 1, TOKENS, -1)
    moved = (states[:-1] - states[-1]).abs().amax(2).T  # [token, changed token]
    sight = seen(ptr, mode, order, prefix)
    sees = torch.ones_like(moved, dtype=torch.bool)
    if sight.rank is not None and sight.reach is not None:
        sees = sight.rank[:TOKENS] <= sight.reach[:TOKENS].unsqueeze(1)
    if bool((moved[~sees] > LEAK * moved.max()).any()):
        return "it sees what is hidden"
    if bool((moved[sees] == 0).any()):
        return "it does not see all"
    if prompt is not None and bool(((outputs[0] - outputs[1]).abs().amax(1) == 0).any()):
        return "it does not see the prompt"
    return ""
