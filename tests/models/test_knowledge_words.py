"""Knowledge prompts that fuse the words of a sequence with the nodes around its entities."""

from dataclasses import replace

import pytest
import torch

from graphrec_pt.models.model import Model
from graphrec_pt.tokens.kind import Kind
from tests.models.test_prompts import loud, prompted, view

WORDED = {"name": "graph_transformer", "width": 8, "layers": 2, "heads": 2}
__all__ = ["view"]  # a fixture


@pytest.mark.parametrize("of", ["nodes", "words"])
def test_a_knowledge_prompt_fuses_words_by_loops(graph, view, of):
    model = Model.of(graph, backbone=WORDED, text=9, seed=3).eval()
    config = {"name": "knowledge", "size": 3, "words": True, "of": of, "where": "tokens"}
    loud(prompted(model, graph, config))
    kinds = view.tokens.kind.clone()
    ids = view.tokens.id.clone()
    place = torch.arange(len(ids)) - view.tokens.ptr[view.tokens.sequence_of()]
    spoken = place % 2 == 1  # every second token becomes a word
    kinds[spoken], ids[spoken] = int(Kind.TEXT), place[spoken] % 9
    view = replace(view, tokens=replace(view.tokens, kind=kinds, id=ids))
    net, made = model.prompt, model.prompt(view, model).tokens
    vectors = torch.cat([model.table(name) for name in graph.schema.node_names])
    known = net.around(vectors)
    for b in range(3):
        part = view.tokens.select(b)
        tokens = list(zip(part.id.tolist(), (part.kind == Kind.TEXT).tolist(), strict=True))
        nodes = list(dict.fromkeys(n for n, word in reversed(tokens) if not word))[:3]
        words = [n for n, word in reversed(tokens) if word][:3]
        if of == "nodes":
            asking = [known[n] for n in nodes]
            keys = [model.words[n] if word else vectors[n] for n, word in tokens]
        else:
            asking = [model.words[n] for n in words]
            keys = [known[n] for n in nodes]
        for p in range(3):
            if p >= len(asking):
                torch.testing.assert_close(made[b, p], net.vectors.weight[p])
                continue
            scores = torch.stack([(net.ask.weight @ asking[p]) @ key for key in keys]) / 8
            share = scores.softmax(0)
            fused = asking[p] + sum(s * key for s, key in zip(share, keys, strict=True))
            torch.testing.assert_close(made[b, p], fused, atol=1e-5, rtol=1e-4)
