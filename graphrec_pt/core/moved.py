"""Old addresses of modules: they keep importing for one release after a module has moved.

Importing an old address returns the module at its new one, so both names mean the same classes.
An ordinary import pays for one comparison of its name.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


class _ModuleAt(Loader):
    """Loads the module that stands at another address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module at the new address."""
        module = import_module(self.address)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its spec back, which names its new address; it has run already."""
        module.__spec__ = self.spec


class OldAddresses(MetaPathFinder):
    """Finds modules of one package that moved to another, whatever their names.

    Args:
        before: Package that modules left, e.g. ``"graphrec_pt.graph"``.
        after: Packages that hold them now, tried in this order.
    """

    def __init__(self, before: str, after: Sequence[str]) -> None:
        self.before, self.after = before, tuple(after)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what imports the module at its new address, None if it is not there."""
        if not name.startswith(f"{self.before}.") or self._stayed(name):
            return None
        for package in self.after:
            address = package + name.removeprefix(self.before)
            try:
                there = find_spec(address)
            except ModuleNotFoundError:
                continue
            if there is not None:
                return ModuleSpec(
                    name, _ModuleAt(address), is_package=bool(there.submodule_search_locations)
                )
        return None

    def _stayed(self, name: str) -> bool:
        """Say whether the old package still holds the module, or the package that it is in."""
        first = name.removeprefix(f"{self.before}.").split(".")[0]
        folders = [Path(folder) for folder in import_module(self.before).__path__]
        return any(
            (at / f"{first}.py").exists() or (at / first / "__init__.py").exists() for at in folders
        )

    def install(self) -> None:
        """Ask this finder before all others: a moved package would lead others to a second copy."""
        if not any(isinstance(finder, OldAddresses) for finder in sys.meta_path):
            sys.meta_path.insert(0, self)
