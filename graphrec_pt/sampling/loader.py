"""Batches of samples: batch i is a function of (seed, epoch, i, rank) and nothing else."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, permutation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sampler import Sampler, Sets


class Batch(NamedTuple):
    """One batch, as a transform receives it: a sample, its rows and its key.

    Args:
        step: Number of the step in its epoch.
        micro: Number of the micro-batch in its step; 0 unless gradients accumulate.
        total: Roots of the step in all micro-batches of all ranks: what a sum over the step is
            divided by, where ``len(rows)`` would weigh a short batch too much.
        rows: int64 ``[B]``, the rows of the loader's roots, in batch order.
        sample: Paths or Subgraphs of those roots.
        key: The key of the epoch, for further draws (corruption, negatives).
    """

    step: int
    micro: int
    total: int
    rows: Tensor
    sample: Any
    key: Key


class BatchRequest(NamedTuple):
    """The rows, step and key of one batch that a worker has to sample."""

    epoch: int
    step: int
    micro: int
    total: int
    rows: Tensor


BatchPlan = Callable[[Key], Sequence[Tensor]]


class Batches(Dataset[Any]):
    """Map-style dataset from tasks to transformed batches.

    Args:
        graph: The graph to sample from.
        sampler: Draws the samples.
        roots: int64 ``[n]`` or ``[n, 2]``, or Sets.
        seed: Of the key.
        exclude: int64 ``[n]`` edge ids, or None.
        transform: Called with each :class:`Batch` where it was sampled. The graph's device is the
            default device during the call.
    """

    def __init__(
        self,
        graph: Graph,
        sampler: Sampler,
        roots: Tensor | Sets,
        seed: int,
        exclude: Tensor | None,
        transform: Callable[[Batch], Any] | None,
    ) -> None:
        self.graph, self.sampler, self.roots = graph, sampler, roots.to(graph.device)
        self.seed, self.transform = seed, transform
        self.exclude = None if exclude is None else exclude.to(graph.device)

    def __getitem__(self, task: BatchRequest) -> Any:
        """Return the batch of a task."""
        if self.graph.device.type == "cpu":
            return self._batch(task)
        with self.graph.device:
            return self._batch(task._replace(rows=task.rows.to(self.graph.device)))

    def _batch(self, task: BatchRequest) -> Any:
        key = Key(self.seed, task.epoch)
        options: dict[str, Any] = {}
        if self.exclude is not None:
            options["exclude"] = self.exclude[task.rows]
        sample = self.sampler.sample(self.graph, self.roots[task.rows], key, **options)
        batch = Batch(*task[1:], sample, key)
        return batch if self.transform is None else self.transform(batch)


class Loader:
    """Samples of all roots in batches, shuffled anew in each epoch.

    The roots of an epoch are shuffled by a Philox permutation and cut into steps of
    ``world · accumulate · batch`` of them. Of a step's rows, micro-batch *a* of rank *r* has
    ``rows[a·world + r :: world·accumulate]``: two processes see exactly what one process with
    twice the accumulation sees. So every root comes once per epoch, every rank has the same number
    of steps, and an interrupted epoch can go on at any step. Only the last step may be shorter
    (some micro-batches by one root, or empty where fewer roots than micro-batches are left).

    The loader yields micro-batches, `accumulate` of them for each step. A `plan` orders and cuts
    the epoch otherwise, into batches of like length, say::

        Loader(graph, sampler, roots, plan=lambda key: bucketed(lengths, key, tokens=4096))

    Args:
        graph: What may be seen, e.g. the train graph of a split.
        sampler: Draws the samples.
        roots: int64 ``[n]``, int64 ``[n, 2]`` for pairs, or Sets.
        batch: B, roots per micro-batch; give this or a `plan`.
        seed: Seed of every draw.
        exclude: int64 ``[n]``, the edge id hidden from each root, −1 for none.
        shuffle: Whether to shuffle the roots anew in each epoch.
        drop_last: Leave out the last step when it is short.
        plan: Called with a key of each epoch; returns the rows of every step, int64 and not
            empty, which all ranks and micro-batches share as above. Must be a pure function.
        accumulate: Micro-batches per step and rank.
        rank: This process among those that train together.
        world: Number of these processes.
        device: Where to sample: the graph, the roots and every batch are there. By default where
            the graph is.
        workers: Spawned processes that sample on the CPU; 0 samples in threads of this one, which
            share the graph and leave the interpreter while a kernel runs. A graph opened from a
            folder is memory-mapped by each process, another one is put into shared memory.
        threads: Threads that sample when there are no workers; 0 samples in the caller's thread.
        ahead: Batches sampled ahead for each worker or thread.
        transform: Called with each :class:`Batch` where it was sampled; the loader yields
            its result. It must be picklable for workers.

    Raises:
        GraphRecError: When an option is out of its range.

    Example:
        >>> roots = graph.node_ids("user", ["ann", "bob"])
        >>> loader = Loader(graph, sampler.build("history"), roots, batch=1, seed=0)
        >>> len(loader), sorted(batch.rows.tolist() for batch in loader.epoch(0))
        (2, [[0], [1]])
    """

    def __init__(
        self,
        graph: Graph,
        sampler: Sampler,
        roots: Tensor | Sets,
        batch: int | None = None,
        seed: int = 0,
        *,
        exclude: Tensor | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        plan: BatchPlan | None = None,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str | None = None,
        workers: int = 0,
        threads: int = 1,
        ahead: int = 2,
        transform: Callable[[Batch], Any] | None = None,
    ) -> None:
        for name, value, least in (
            ("batch", 1 if batch is None else batch, 1),
            ("accumulate", accumulate, 1),
            ("world", world, 1),
            ("workers", workers, 0),
            ("threads", threads, 0),
            ("ahead", ahead, 1),
        ):
            if value < least:
                raise GraphRecError("Loader", f"{name} >= {least}", value)
        if (batch is None) == (plan is None):
            got = "neither" if plan is None else "both"
            raise GraphRecError("Loader", "a batch size or a plan", got)
        if plan is not None and (drop_last or not shuffle):
            got = f"shuffle={shuffle}, drop_last={drop_last}"
            raise GraphRecError("Loader", "a plan alone to order and cut the epoch", got)
        if not 0 <= rank < world:
            raise GraphRecError("Loader", f"rank in [0, {world})", rank)
        if exclude is not None and len(exclude) != len(roots):
            raise GraphRecError("Loader", f"exclude [{len(roots)}], one per root", len(exclude))
        graph = graph if device is None else graph.to(device)
        if workers and graph.device.type != "cpu":
            got = f"{workers} on {graph.device}"
            raise GraphRecError("Loader", "workers=0 off the CPU", got, "threads")
        self.batches = Batches(graph, sampler, roots, seed, exclude, transform)
        self.batch, self.shuffle, self.drop_last = batch, shuffle, drop_last
        self.plan, self.accumulate = plan, accumulate
        self.rank, self.world = rank, world
        self._together = (batch or 0) * accumulate * world
        self.workers, self.threads, self.ahead = workers, threads, ahead
        self._planned: tuple[int, Sequence[Tensor]] | None = None
        self._requests = _Requests()
        self._processes: DataLoader[Any] | None = None

    def __len__(self) -> int:
        """Return how many batches an iteration yields: those of epoch 0."""
        return self.steps(0) * self.accumulate

    def __iter__(self) -> Iterator[Any]:
        """Iterate over epoch 0."""
        return self.epoch(0)

    def steps(self, epoch: int) -> int:
        """Return the steps of an epoch: the same in each one, unless a plan says otherwise."""
        if self.batch is None:
            return len(self._plan_of(epoch))
        n, together = len(self.batches.roots), self._together
        return n // together if self.drop_last else -(-n // together)

    def rows(self, epoch: int) -> Iterator[Tensor]:
        """Yield the rows of this rank's micro-batches: int64 ``[B]`` each."""
        return (task.rows for task in self.tasks(epoch))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch, from step `start` on exactly as in a run through.

        Args:
            epoch: Number of the epoch.
            start: First step.
        """
        tasks = self.tasks(epoch, start)
        if self.workers:
            self._requests.tasks = tasks
            return iter(self._spawned())
        requests = iter(tasks)
        return (
            self._in_threads(requests) if self.threads else map(self.batches.__getitem__, requests)
        )

    def tasks(self, epoch: int, start: int = 0) -> list[BatchRequest]:
        """Return the requests of an epoch: the ``sampler=`` of a DataLoader of `batches`."""
        plan = self._plan_of(epoch)
        if not 0 <= start <= len(plan):
            raise GraphRecError("Loader", f"start in [0, {len(plan)}]", start)
        share = self.world * self.accumulate
        return [
            BatchRequest(
                epoch, step, a, len(plan[step]), plan[step][a * self.world + self.rank :: share]
            )
            for step in range(start, len(plan))
            for a in range(self.accumulate)
        ]

    def _plan_of(self, epoch: int) -> Sequence[Tensor]:
        """Return the rows of every step of an epoch; the plan is computed once."""
        if self._planned is None or self._planned[0] != epoch:
            key = Key(self.batches.seed, epoch).named("order")
            plan = self._shuffled(key) if self.plan is None else self.plan(key)
            _check(plan, len(self.batches.roots))
            self._planned = epoch, plan
        return self._planned[1]

    def _shuffled(self, key: Key) -> list[Tensor]:
        n, together = len(self.batches.roots), self._together
        order = torch.from_numpy(permutation(key, n)) if self.shuffle else torch.arange(n)
        steps = range(self.steps(key.epoch))
        return [order[step * together : (step + 1) * together] for step in steps]

    def _in_threads(self, tasks: Iterator[BatchRequest]) -> Iterator[Any]:
        context = copy_context()
        waiting: deque[Future[Any]] = deque()
        pool = ThreadPoolExecutor(self.threads, "graphrec-sampling")
        try:
            for task in tasks:
                run = context.copy().run
                waiting.append(pool.submit(run, self.batches.__getitem__, task))
                if len(waiting) > self.threads * self.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _spawned(self) -> "DataLoader[Any]":
        if self._processes is None:
            self._processes = DataLoader(
                self.batches,
                batch_size=None,
                sampler=self._requests,
                num_workers=self.workers,
                # Thread pools do not survive a fork.
                multiprocessing_context="spawn",
                persistent_workers=True,
                prefetch_factor=self.ahead,
            )
        return self._processes


def _check(plan: Sequence[Tensor], n: int) -> None:
    """Raise for a plan whose steps are empty, not int64, or outside ``range(n)``."""
    for rows in plan:
        if rows.dtype != torch.int64 or rows.ndim != 1 or not len(rows):
            got = f"{rows.dtype} {list(rows.shape)}"
            raise GraphRecError("Loader", "a plan of int64 [B] rows, B >= 1", got)
        low, high = (int(end) for end in rows.aminmax())
        if not 0 <= low <= high < n:
            raise GraphRecError("Loader", f"a plan of rows in [0, {n})", f"{low} to {high}")


class _Requests:
    """The requests of the current epoch, for worker processes that serve several epochs."""

    def __init__(self) -> None:
        self.tasks: list[BatchRequest] = []

    def __iter__(self) -> Iterator[BatchRequest]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)
