"""Old import paths of moved modules, which keep working for one release.

Importing an old path returns the module at the new one, so both names give the same classes.
Every other import costs one comparison of its name.
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
    """The loader of a module at another path."""

    def __init__(self, address: str) -> None:
        self.address = address

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module at the new path."""
        module = import_module(self.address)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the module's spec, which names its new path; the module has run already."""
        module.__spec__ = self.spec


class OldAddresses(MetaPathFinder):
    """The finder of modules that moved from one package to others.

    Args:
        before: Package that modules left, e.g. ``"graphrec_pt.graph"``.
        after: Packages that hold them now, tried in this order.
    """

    def __init__(self, before: str, after: Sequence[str]) -> None:
        self.before, self.after = before, tuple(after)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that imports the module at its new path, None if it is not there."""
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
        """Return whether the old package still holds the module or its parent package."""
        first = name.removeprefix(f"{self.before}.").split(".")[0]
        folders = [Path(folder) for folder in import_module(self.before).__path__]
        return any(
            (at / f"{first}.py").exists() or (at / first / "__init__.py").exists() for at in folders
        )

    def install(self) -> None:
        """Put this finder first: the others would load a second copy of a moved package."""
        if not any(isinstance(finder, OldAddresses) for finder in sys.meta_path):
            sys.meta_path.insert(0, self)
