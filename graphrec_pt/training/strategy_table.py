"""What trains and what does not, as a table to look at before hours are spent."""

from dataclasses import dataclass

from torch import nn

from graphrec_pt.models.adaptor import ADAPTOR
from graphrec_pt.models.prompts.family import PROMPT
from graphrec_pt.training.groups import ParameterGroups


@dataclass(frozen=True)
class Part:
    """A part of a learner.

    Args:
        name: Such as ``model.backbone``; prompts and adaptors are parts wherever they stand.
        trained: Numbers that train.
        frozen: Numbers that stay.
    """

    name: str
    trained: int
    frozen: int


@dataclass(frozen=True)
class Trained:
    """Parts of a learner, in the order of their first weights; ``str`` gives the table."""

    parts: tuple[Part, ...]

    @property
    def trained(self) -> int:
        """Numbers that train."""
        return sum(part.trained for part in self.parts)

    @property
    def frozen(self) -> int:
        """Numbers that stay."""
        return sum(part.frozen for part in self.parts)

    def __str__(self) -> str:
        """Return a line for each part and one for all."""
        rows = [*self.parts, Part("all", self.trained, self.frozen)]
        wide = max(len(part.name) for part in rows)
        count = max(len(f"{max(part.trained, part.frozen):,}") for part in rows)
        count = max(count, len("trains"))
        lines = [f"{'':{wide}}  {'trains':>{count}}  {'frozen':>{count}}"]
        lines += [f"{p.name:{wide}}  {p.trained:>{count},}  {p.frozen:>{count},}" for p in rows]
        return "\n".join(lines)


def trained(network: nn.Module, groups: ParameterGroups) -> Trained:
    """Return what of a network trains.

    Args:
        network: A learner.
        groups: What the optimiser was given of it.
    """
    counts: dict[str, list[int]] = {}
    for name, parameter in network.named_parameters():
        found = counts.setdefault(_part(name), [0, 0])
        found[name in groups.frozen] += parameter.numel()
    return Trained(tuple(Part(name, *numbers) for name, numbers in counts.items()))


def _part(name: str) -> str:
    path = name.split(".")
    for kind in (PROMPT, ADAPTOR):
        if kind in path[1:-1]:
            return kind
    return ".".join(path[:2]) if path[0] == "model" else path[0]
