"""Before anything imports Triton: without a GPU its kernels run through the interpreter."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Compare in full precision on a GPU, whatever its compiler would like better."""
    config.addinivalue_line("filterwarnings", "ignore:TensorFloat32 tensor cores")
