"""The base of a model: pre-trained weights in a folder, which saves and checkpoints leave out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.pretrained import digest
from graphrec_pt.graph.schema import Strict

BACKBONE = "backbone."
"""In the name of every weight of a backbone."""


class BaseRecord(Strict):
    """What a saved model says of its base.

    Args:
        folder: The folder that the weights were read from.
        digest: Digest of all of them.
    """

    folder: str
    digest: str

    def find(self, model: Path) -> Path:
        """Return the folder of the base.

        Raises:
            GraphRecError: When it is not there; `model` names the saved model.
        """
        folder = Path(self.folder)
        if not folder.is_dir():
            hint = "Model.from_pretrained(…, base=FOLDER), where the base is now"
            raise GraphRecError(str(model), f"its base model in {folder}", "no such folder", hint)
        return folder


@dataclass(frozen=True, eq=False)
class Base:
    """The weights that a backbone was read with.

    Args:
        folder: Where they are.
        tensors: Digest of each by its name in the backbone.
    """

    folder: str
    tensors: Mapping[str, str]

    @classmethod
    def of(cls, folder: str, network: nn.Module, read: Iterable[str]) -> "Base":
        """Return the base of a network that was just made.

        Args:
            folder: What its weights were read from.
            network: The backbone.
            read: Names of its modules that hold them.
        """
        parts = tuple(f"{name}." for name in read)
        state = network.state_dict()
        return cls(folder, {n: digest(state[n]) for n in sorted(state) if n.startswith(parts)})

    @property
    def record(self) -> BaseRecord:
        """The folder and one digest of all."""
        names = (part for pair in self.tensors.items() for part in pair)
        return BaseRecord(folder=self.folder, digest=digest(*names))

    def unchanged(self, state: Mapping[str, Tensor], trained: Iterable[str] = ()) -> set[str]:
        """Return the names of the weights that are still as in the base.

        Args:
            state: Weights of a model, or of what holds one.
            trained: Names of weights that train, which count as changed.
        """
        apart = set(trained)
        return {
            name
            for name, weight in state.items()
            if name not in apart and self.tensors.get(_inner(name)) == digest(weight)
        }

    def completed(
        self, saved: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return saved weights together with those of the base that were left out.

        Args:
            saved: By name.
            state: Weights of a model that was just made.
        """
        left_out = {n: w for n, w in state.items() if n not in saved and _inner(n) in self.tensors}
        return {**left_out, **saved}


def _inner(name: str) -> str:
    """Return the name of a weight inside a backbone, without the marks of adaptors."""
    _, found, inner = name.partition(BACKBONE)
    return inner.replace(".base_layer", "") if found else ""
