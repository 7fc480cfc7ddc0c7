"""Before any test: Triton through the interpreter without a GPU, and signals that arrive."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A suite that was started in the background or by nohup ignores signals, and so would its children:
# the tests of interruptions send some.
for number, handler in {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Compare in full precision on a GPU, whatever its compiler would like better."""
    config.addinivalue_line("filterwarnings", "ignore:TensorFloat32 tensor cores")


@pytest.fixture
def own_components() -> Iterator[None]:
    """Forget afterwards what a test registers, so that other tests see the library alone."""
    from graphrec_pt.recipe.families import FAMILIES

    before = {name: dict(family.registry._members) for name, family in FAMILIES.items()}
    yield
    for name, family in FAMILIES.items():
        family.registry._members.clear()
        family.registry._members.update(before[name])
