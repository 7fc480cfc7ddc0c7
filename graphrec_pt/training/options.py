"""Options of a training run that are independent of model and stages."""

from typing import Literal

from pydantic import Field

from graphrec_pt.graph.schema import Strict


class Options(Strict):
    """Options of a run.

    Args:
        seed: Seed of heads, batches, corruption and dropout.
        precision: Precision of the forward pass: ``"no"`` is float32.
        deterministic: Refuse operations whose result depends on chance or threads.
        compile: Compile with ``torch.compile`` what a backbone says can be.
        average: Decay of an exponential moving average of the parameters, which validation and
            the result use; 0 for none.
        sampling: Where batches are made: ``"device"`` keeps the graph on the GPU that trains, and
            samples, linearizes and corrupts there; the batches are the same.
        workers: Processes that sample, see :class:`~graphrec_pt.sampling.loader.Loader`.
        threads: Threads that sample when there are no workers.
        log_every: Steps between log rows.
        checkpoint_every: Steps between checkpoints; 0 for the ends of epochs alone.
        keep: Checkpoints kept.
        trackers: Any of tensorboard, wandb, mlflow.
        watch: The metric that early stopping and the best model go by; a loss or error is
            better when lower, everything else when higher.
        cpu: Stay on the CPU.
    """

    seed: int = Field(0, ge=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    deterministic: bool = False
    compile: bool = False
    average: float = Field(0.0, ge=0, lt=1)
    sampling: Literal["cpu", "device"] = "cpu"
    workers: int = Field(0, ge=0)
    threads: int = Field(1, ge=0)
    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(0, ge=0)
    keep: int = Field(2, ge=1)
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    watch: str | None = None
    cpu: bool = False
