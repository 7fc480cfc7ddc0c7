"""Trains the flagship several times in one process; prints a digest of the weights of each run.

Arguments: folder of raw files, folder for runs, then what to do, in order: ``train:SEED``,
``run:NAME:SEEDS`` (a whole run with control and evaluation) or ``resume:NAME:SEEDS``.
"""

import hashlib
import sys
from pathlib import Path

import torch

from graphrec_pt.models.model import Model
from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import MODEL, folder_of
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.recipe.train import Training

SMALL = [
    "stages.0.steps=1",
    "stages.1.steps=8",
    "stages.0.batch=128",
    "evaluate.baselines=[popularity]",
    "options.cpu=true",
]


def digest(model: Model) -> str:
    """Return a digest of all weights."""
    whole = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()[:16]


def main(raw: Path, runs: Path, tasks: list[str]) -> None:
    """Do the tasks in order."""
    recipe = load_recipe("flagship", SMALL)
    graph = graph_of(recipe.data, raw)
    made = split_of(recipe.data, graph)
    before = torch.get_num_threads()
    for number, task in enumerate(tasks):
        what, *rest = task.split(":")
        if what == "train":
            training = Training(recipe, made, int(rest[0]), lambda model: {"ndcg@10": 0.5})
            print(task, digest(training.model(runs / f"train-{number}")), flush=True)
            continue
        seeds = tuple(int(seed) for seed in rest[1].split(","))
        many = recipe.model_copy(update={"seeds": seeds})
        folder = runs / rest[0]
        run_recipe(many, folder, graph=graph, resume=what == "resume")
        for seed in seeds:
            weights = sorted((folder_of(folder, seed, seeds) / MODEL).glob("*.safetensors"))
            saved = b"".join(file.read_bytes() for file in weights)
            print(f"seed:{seed}", hashlib.sha256(saved).hexdigest()[:16], flush=True)
    assert torch.get_num_threads() == before


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
