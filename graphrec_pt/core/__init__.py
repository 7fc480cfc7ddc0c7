"""Floor 0: registry, errors and the random key.

Shape legend used in every docstring and trailing comment of the library:

====== =========================  ====== ==========================
letter meaning                    letter meaning
====== =========================  ====== ==========================
B      sequences in a batch       N      nodes
T      tokens (packed)            E      stored edges
P      paths                      R      relations
L      hops                       S      node types
D      width                      G      segments (Σ_s n_s · R_s)
V      vocabulary                 K      candidates
====== =========================  ====== ==========================
"""
