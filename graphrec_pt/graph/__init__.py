"""Floor 2: schema, graph, build, split, store and the bridges to other libraries."""
