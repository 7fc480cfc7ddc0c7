"""The model that a service answers with: requests in batches, and newer runs without a pause.

One thread asks the model, because it is faster in batches than in turns: it takes all requests that
wait, and answers those with the same options together. Another thread looks for a newer run or
refit, loads it beside the old one, and then puts it in its place; requests in flight keep theirs.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.recipe.folder import METRICS
from graphrec_pt.recipe.refit import FINAL, RECORD
from graphrec_pt.serve.recommender import Recommended, Recommender, User, from_pretrained
from graphrec_pt.serve.similar import SimilarItems

logger = logging.getLogger(__name__)
TOGETHER = 64
"""Requests that are answered together at most."""

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory.

    Args:
        recommender: Recommends.
        similar: Finds items like an item.
        folder: Of the run.
        stamp: Names, times and sizes of the files that say which run it is.
        at: When it was loaded, in UTC.
    """

    recommender: Recommender
    similar: SimilarItems
    folder: Path
    stamp: Stamp
    at: datetime


@dataclass(frozen=True)
class Options:
    """Options of a request, apart from its user.

    Args:
        k: Number of items.
        explain: Whether items have paths.
        only: Filters of the catalogue.
        exclude: Raw ids of items that are left out.
        unknown: Whether a stranger gets an error or popular items.
    """

    k: int = 10
    explain: bool = False
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    unknown: str = "popularity"


@dataclass(frozen=True, eq=False)
class _Request:
    user: User
    options: Options
    answer: "Future[tuple[Recommended, Loaded]]"


class LiveModel:
    """Answers requests with the newest model of a run.

    Args:
        folder: Of a run, or a link to one that is moved to a newer run.
        every: Seconds between looks for a newer run; 0 for never.
        trust_code: Allow the run to name code outside the library, which is then run.

    Raises:
        GraphRecError: When there is no finished run.
    """

    def __init__(
        self, folder: str | Path, every: float = 10.0, *, trust_code: bool = False
    ) -> None:
        self.folder, self.every, self.trust_code = Path(folder), every, trust_code
        self.problem: str | None = None
        self.loaded = self._load()
        self.loads = 1
        self._waiting: SimpleQueue[_Request | None] = SimpleQueue()
        self._ended = Event()
        self._threads = [Thread(target=self._answer, name="graphrec-answers", daemon=True)]
        if every > 0:
            self._threads.append(Thread(target=self._watch, name="graphrec-watch", daemon=True))
        for thread in self._threads:
            thread.start()

    def recommend(
        self, users: Sequence[User], options: Options
    ) -> "list[Future[tuple[Recommended, Loaded]]]":
        """Return the answers to come, one for each user, each with the model that gave it."""
        answers: list[Future[tuple[Recommended, Loaded]]] = []
        for user in users:
            request = _Request(user, options, Future())
            self._waiting.put(request)
            answers.append(request.answer)
        return answers

    def reload(self) -> bool:
        """Load the run if it is newer than what is loaded; return whether it was.

        A run that cannot be loaded leaves the old one in its place; :attr:`problem` says why.
        """
        if self._stamp() == self.loaded.stamp:
            return False
        try:
            self.loaded = self._load()
        except (GraphRecError, OSError) as error:
            self.problem = str(error)
            logger.warning("the newer run is not served: %s", error)
            return False
        self.problem, self.loads = None, self.loads + 1
        logger.info("serving %s as of %s", self.folder, self.loaded.at)
        return True

    def close(self) -> None:
        """End both threads; requests that wait are answered first."""
        self._ended.set()
        self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _load(self) -> Loaded:
        stamp = self._stamp()
        recommender = from_pretrained(self.folder, trust_code=self.trust_code)
        similar = SimilarItems(recommender)
        first = recommender.history.nodes(recommender.user_type).start
        if recommender.history.num_nodes(recommender.user_type):
            raw = recommender.history.raw_id(first)
            recommender.recommend([raw], 1, unknown="popularity")  # tables and kernels are ready
        return Loaded(recommender, similar, self.folder, stamp, datetime.now(UTC))

    def _stamp(self) -> Stamp:
        found = []
        for path in (self.folder / METRICS, self.folder / FINAL / RECORD):
            try:
                state = path.resolve().stat()
            except OSError:
                continue
            found.append((str(path.resolve()), state.st_mtime_ns, state.st_size))
        return tuple(found)

    def _watch(self) -> None:
        while not self._ended.wait(self.every):
            self.reload()

    def _answer(self) -> None:
        while True:
            first = self._waiting.get()
            batch = [first]
            while len(batch) < TOGETHER:
                try:
                    batch.append(self._waiting.get_nowait())
                except Empty:
                    break
            requests = [request for request in batch if request is not None]
            groups: dict[Options, list[_Request]] = {}
            for request in requests:
                groups.setdefault(request.options, []).append(request)
            for options, alike in groups.items():
                _answer_together(self.loaded, options, alike)
            if len(requests) < len(batch):
                return


def _answer_together(loaded: Loaded, options: Options, requests: Sequence[_Request]) -> None:
    """Answer requests with the same options; a mistake in one of them is told to it alone."""
    ask = _asker(loaded, options)
    try:
        answers = ask([request.user for request in requests])
    except Exception as error:
        if len(requests) == 1:
            requests[0].answer.set_exception(error)
            return
        for request in requests:
            _answer_together(loaded, options, [request])
        return
    for request, answer in zip(requests, answers, strict=True):
        request.answer.set_result((answer, loaded))


def _asker(loaded: Loaded, options: Options) -> Callable[[Sequence[User]], list[Recommended]]:
    def ask(users: Sequence[User]) -> list[Recommended]:
        return loaded.recommender.recommend(
            users,
            options.k,
            explain=options.explain,
            unknown="refuse" if options.unknown == "refuse" else "popularity",
            only=options.only,
            exclude=options.exclude,
        )

    return ask
