"""A run as a process of its own: ``run_script.py FOLDER ACCUMULATE BATCH OUT``; tells its steps.

Goes on where a killed run stopped. Several processes of it train together under torchrun.
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from graphrec_pt import Key, Model, Stage, Trainer
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.training import trainer


def main(folder: str, accumulate: str, batch: str, out: str) -> None:
    torch.set_num_threads(1)
    graph = synthetic_graph(120, 80, 1500, key=Key(3))
    small = {"name": "graph_transformer", "width": 16, "layers": 1, "dropout": 0.2}
    structure = {"type": None, "position": 64, "hop": 4, "parent": 64}
    model = Model.of(graph, backbone={**small, "structure": structure})
    stages = [
        Stage(
            sampler={"name": "k_hop", "fanout": [4, 2]},
            linearizer="subgraph",
            objectives=["masked_node", {"name": "masked_node", "label": "again", "roots": True}],
            batch=int(batch),
            accumulate=int(accumulate),
            steps=steps,
            optimization={"lr": 1e-2, "schedule": {"name": "cosine", "warmup": 0.1}},
            name=name,
        )
        for name, steps in (("first", 14), ("second", 16))
    ]

    save = trainer.save_checkpoint

    def telling(folder: Path, step: int, *rest: object) -> Path:
        print(f"saving {step}", flush=True)
        return save(folder, step, *rest)  # type: ignore[arg-type]

    trainer.save_checkpoint = telling  # type: ignore[assignment]
    options = {"deterministic": True, "checkpoint_every": 4, "log_every": 1, "average": 0.9}
    run = Trainer(folder, cpu=True, **options)
    rows = run.fit(model, graph, stages, resume=True)
    if os.environ.get("RANK", "0") == "0":
        save_file(dict(model.state_dict()), f"{out}.safetensors")
        Path(f"{out}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
