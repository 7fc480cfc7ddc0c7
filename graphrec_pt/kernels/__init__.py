"""Floor 1: sparse kernels on plain arrays; one op per file with torch, numba and triton bodies."""
