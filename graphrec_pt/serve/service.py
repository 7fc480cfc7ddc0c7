"""The HTTP service of a run: recommendations, similar items, explanations, and an explorer page.

This module needs the extra ``serve``; only ``graphrec serve`` and callers of :func:`application`
import it.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.version import __version__
from graphrec_pt.serve.live import LiveModel, Loaded, Options
from graphrec_pt.serve.meters import Meters
from graphrec_pt.serve.similar import SimilarItems
from graphrec_pt.serve.views import (
    item_view,
    neighbours_view,
    path_view,
    recommended_view,
    search_view,
)

SETTINGS = "GRAPHREC_SERVE"
"""Where ``graphrec serve`` leaves its options for the processes that it starts."""
MOST = 1000
"""Users of a request, and items of a list, at most."""
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
)


class RecommendRequest(BaseModel):
    """What ``POST /recommend`` takes.

    Args:
        users: Raw ids of known users.
        histories: Histories of new users: raw ids of items, oldest first.
        k: Items for each user.
        only: Filters such as ``genre=Comedy``.
        exclude: Raw ids of items that are left out.
        explain: Whether items have paths.
        unknown: Whether a user that nobody knows gets popular items or an error.
    """

    model_config = ConfigDict(extra="forbid")

    users: list[str] = Field([], max_length=MOST)
    histories: list[list[str]] = Field([], max_length=MOST)
    k: int = Field(10, ge=1, le=MOST)
    only: list[str] = Field([], max_length=20)
    exclude: list[str] = Field([], max_length=10_000)
    explain: bool = False
    unknown: Literal["popularity", "refuse"] = "popularity"


class SimilarRequest(BaseModel):
    """What ``POST /similar`` takes.

    Args:
        items: Raw ids.
        k: Similar items for each.
        by: What likeness is.
        only: Filters such as ``genre=Comedy``.
    """

    model_config = ConfigDict(extra="forbid")

    items: list[str] = Field(min_length=1, max_length=MOST)
    k: int = Field(10, ge=1, le=MOST)
    by: Literal["vectors", "together", "both"] = "both"
    only: list[str] = Field([], max_length=20)


K = Annotated[int, Query(ge=1, le=MOST)]
Filters = Annotated[list[str], Query(max_length=20)]


def application(
    run: str | Path | LiveModel, *, every: float = 10.0, trust_code: bool = False
) -> FastAPI:
    """Return the service of a run.

    Args:
        run: Folder of a run, or what answers with it.
        every: Seconds between looks for a newer run or refit in that folder; 0 for never.
        trust_code: Allow the run to name code outside the library, which is then run.

    Raises:
        GraphRecError: When there is no finished run.
    """
    live = run if isinstance(run, LiveModel) else LiveModel(run, every, trust_code=trust_code)
    meters = Meters()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(live.close)

    app = FastAPI(
        title="graphrec", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.live = live
    _errors(app)

    @app.middleware("http")
    async def measure(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        begin = time.perf_counter()
        response = await call_next(request)
        known = {getattr(route, "path", "") for route in app.routes}
        path = request.url.path if request.url.path in known else "other"
        meters.add(path, response.status_code, time.perf_counter() - begin)
        return response

    async def asked(users: list[Any], options: Options) -> tuple[list[dict[str, Any]], Loaded]:
        answers = [asyncio.wrap_future(each) for each in live.recommend(users, options)]
        given = await asyncio.gather(*answers)
        views = [recommended_view(each, loaded.recommender) for each, loaded in given]
        return views, given[-1][1]

    @app.get("/recommend")
    async def recommend_one(
        user: str,
        k: K = 10,
        only: Filters = [],  # noqa: B006  (a query parameter, never changed)
        explain: bool = False,
        unknown: Literal["popularity", "refuse"] = "popularity",
    ) -> dict[str, Any]:
        """Recommend items to a known user."""
        options = Options(k, explain, tuple(only), (), unknown)
        views, loaded = await asked([user], options)
        return {**views[0], "edges": loaded.recommender.edges}

    @app.post("/recommend")
    async def recommend_many(request: RecommendRequest) -> dict[str, Any]:
        """Recommend items to known users, and to new ones by their histories."""
        users: list[Any] = [*request.users, *request.histories]
        if not users:
            hint = '{"users": ["…"]} or {"histories": [["…"]]}'
            raise GraphRecError("recommend", "at least one user or history", "none", hint)
        filters, left_out = tuple(request.only), tuple(request.exclude)
        options = Options(request.k, request.explain, filters, left_out, request.unknown)
        views, loaded = await asked(users, options)
        return {"users": views, "edges": loaded.recommender.edges}

    def alike(request: SimilarRequest) -> dict[str, Any]:
        recommender = live.loaded.recommender
        finder = live.loaded.similar
        if request.by != finder.by:
            finder = SimilarItems(recommender, request.by)
        return {
            "items": [
                {
                    "item": item,
                    "similar": [
                        item_view(like) for like in finder.of(item, request.k, only=request.only)
                    ],
                }
                for item in request.items
            ],
            "by": request.by,
        }

    @app.get("/similar")
    async def similar_one(
        item: str,
        k: K = 10,
        by: Literal["vectors", "together", "both"] = "both",
        only: Filters = [],  # noqa: B006  (a query parameter, never changed)
    ) -> dict[str, Any]:
        """Find items like an item."""
        request = SimilarRequest(items=[item], k=k, by=by, only=only)
        found = await asyncio.to_thread(alike, request)
        return {**found["items"][0], "by": by}

    @app.post("/similar")
    async def similar_many(request: SimilarRequest) -> dict[str, Any]:
        """Find items like some items."""
        return await asyncio.to_thread(alike, request)

    @app.get("/explain")
    async def explain(user: str, item: str, top: Annotated[int, Query(ge=1, le=20)] = 3) -> Any:
        """Return paths in the graph from the history of a user to an item."""

        def paths() -> dict[str, Any]:
            recommender = live.loaded.recommender
            graph = recommender.history
            source = graph.node_id(recommender.user_type, user)
            target = graph.node_id(recommender.item_type, item)
            past = graph.neighbors(source, recommender.relation).tolist()
            found = recommender.explainer.paths(past, [target], source, top)[0]
            return {"user": user, "item": item, "paths": [path_view(graph, each) for each in found]}

        return await asyncio.to_thread(paths)

    @app.get("/search")
    async def search(q: str, kind: str = "", limit: K = 20) -> Any:
        """Find nodes by raw id or title."""
        graph = live.loaded.recommender.history
        kinds = [kind] if kind in graph.schema.node_names else list(graph.schema.node_names)
        found = await asyncio.to_thread(search_view, graph, q, kinds, limit)
        return {"nodes": found}

    @app.get("/node")
    async def node(kind: str, id: str) -> Any:
        """Return a node with its columns and its neighbours."""
        graph = live.loaded.recommender.history
        return await asyncio.to_thread(neighbours_view, graph, kind, id)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Say what is served."""
        loaded = live.loaded
        recommender = loaded.recommender
        return {
            "status": "ok",
            "run": str(loaded.folder),
            "loaded": loaded.at.isoformat(timespec="seconds"),
            "loads": live.loads,
            "edges": recommender.edges,
            "user": recommender.user_type,
            "item": recommender.item_type,
            "items": len(recommender.items),
            "fingerprint": recommender.history.fingerprint,
            "problem": live.problem,
            "graphrec_pt": __version__,
        }

    @app.post("/reload")
    async def reload() -> dict[str, Any]:
        """Look for a newer run now."""
        return {"reloaded": await asyncio.to_thread(live.reload), "problem": live.problem}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Return counters and times for Prometheus."""
        recommender = live.loaded.recommender
        edges = recommender.history.num_edges(recommender.relation)
        return meters.text(live.loads, edges)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def explorer() -> HTMLResponse:
        return _page("explorer.html")

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return _page("api.html")

    return app


def application_of_process() -> FastAPI:
    """Return the service with the options that ``graphrec serve`` left for its processes."""
    settings = json.loads(os.environ[SETTINGS])
    return application(settings["run"], every=settings["every"], trust_code=settings["trust_code"])


def _page(name: str) -> HTMLResponse:
    text = files("graphrec_pt.serve").joinpath("pages", name).read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


def _errors(app: FastAPI) -> None:
    """Answer mistakes in the grammar of the house: who, expected, got, try."""

    @app.exception_handler(GraphRecError)
    async def house_error(request: Request, error: GraphRecError) -> JSONResponse:
        unknown = "a known " in getattr(error, "expected", "")
        return JSONResponse({"errors": [_plain(error)]}, status_code=404 if unknown else 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            _plain(
                GraphRecError(
                    ".".join(map(str, each["loc"])),
                    str(each["msg"]).removeprefix("Input should be "),
                    repr(each.get("input"))[:80],
                    "/docs for the options",
                )
            )
            for each in error.errors()
        ]
        return JSONResponse({"errors": errors}, status_code=422)

    @app.exception_handler(HTTPException)
    async def missing(request: Request, error: HTTPException) -> JSONResponse:
        wrong = GraphRecError(request.url.path, "a path of the service", error.detail, "/docs")
        return JSONResponse({"errors": [_plain(wrong)]}, status_code=error.status_code)


def _plain(error: GraphRecError) -> dict[str, str]:
    parts = {name: getattr(error, name, "") for name in ("who", "expected", "got", "hint")}
    return {**parts, "message": str(error)}
