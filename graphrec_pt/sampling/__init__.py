"""Floor 3: samplers, (graph, roots, key) to Paths or Subgraphs."""
