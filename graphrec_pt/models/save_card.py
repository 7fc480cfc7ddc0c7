"""The card of a saved model: what it is, what it knows, how to load it."""

from typing import Any

from graphrec_pt import __version__
from graphrec_pt.graph.outline import Outline

_CARD = """\
---
library_name: graphrec_pt
tags: [graphrec_pt, recommender-systems, graph, pre-training]
---

# A model pre-trained on a graph

{weights:,} weights, width {width}, backbone `{backbone}`, saved by graphrec_pt {version}.

| node type | nodes | features |
|---|---:|---|
{nodes}

Relations: {relations}.

```python
from graphrec_pt.models.model import Model

model = Model.from_pretrained(folder_or_name){bind}
```

Another graph takes over what it shares with this one by names and raw ids:
`transfer(model, graph)` of `graphrec_pt.models.transfer`.
"""


def model_card(config: dict[str, Any], outline: Outline, weights: int, *, ready: bool) -> str:
    """Return the card as Markdown.

    Args:
        config: JSON-ready, of the model.
        outline: Of its graph.
        weights: How many there are.
        ready: Whether the model runs without its graph.
    """
    features = config["features"]["by_type"]
    rows = (
        (name, count, features.get(name, features.get("*", [{"name": "id"}])))
        for name, count in zip(outline.node_names, outline.counts, strict=True)
    )
    return _CARD.format(
        weights=weights,
        width=config["backbone"].get("width", "?"),
        backbone=config["backbone"]["name"],
        version=__version__,
        nodes="\n".join(
            f"| {name} | {count:,} | {', '.join(each['name'] for each in of_type)} |"
            for name, count, of_type in rows
        ),
        relations=", ".join(f"{r.name} ({r.source} → {r.target})" for r in outline.relations)
        or "none",
        bind="" if ready else ".bind(graph)  # it reads columns or edges",
    )
