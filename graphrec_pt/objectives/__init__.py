"""Floor 8: objectives, corruption and loss, one family a file."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")  # registers its members
