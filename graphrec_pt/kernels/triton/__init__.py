"""CUDA bodies in Triton; `TRITON_INTERPRET=1` runs them without a GPU."""
