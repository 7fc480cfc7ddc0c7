"""CPU bodies: numba, parallel, blocks of interleaved work so that cache misses overlap."""
