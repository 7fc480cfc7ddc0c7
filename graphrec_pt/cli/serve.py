"""``graphrec serve``: a run as an HTTP service."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.cli.printing import Terminal
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError

PATIENCE = 60
"""Seconds after which a process that gives no sign of life is ended and started again: a busy
machine may not let it answer within the 5 seconds that uvicorn waits by default."""

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than the 60 after which most proxies close
theirs, so that no request is sent on a connection that the service closes at that moment."""


def serve(
    folder: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="The folder of a run, or a link to the newest one."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes; one that dies is started again.")
    ] = 1,
    every: Annotated[
        float, typer.Option(min=0, help="Seconds between looks for a newer run; 0 for never.")
    ] = 10.0,
    trust_code: TrustCode = False,
) -> None:
    """Serve recommendations over HTTP, with a page to look around at /."""
    from graphrec_pt.recipe.folder import open_run
    from graphrec_pt.recipe.refit import serving_of

    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            hint = "pip install 'graphrec-pt[serve]'"
            raise GraphRecError("serve", f"the package {package}", "none", hint)
    import uvicorn

    from graphrec_pt.serve.service import SETTINGS, application

    console = Terminal(stderr=True)
    with trusted(trust_code):
        edges = serving_of(open_run(folder)).edges
        console.print(
            f"serving {folder} at http://{host}:{port}/ (API: /docs); edges: {edges}",
            soft_wrap=True,
            highlight=False,
        )
        if workers == 1:
            app = application(folder, every=every, trust_code=trust_code)
            uvicorn.run(
                app, host=host, port=port, log_level="warning", timeout_keep_alive=KEEP_ALIVE
            )
            return
        settings = {"run": str(folder.absolute()), "every": every, "trust_code": trust_code}
        os.environ[SETTINGS] = json.dumps(settings)
        target = "graphrec_pt.serve.service:application_of_process"
        uvicorn.run(
            target,
            factory=True,
            workers=workers,
            host=host,
            port=port,
            log_level="warning",
            timeout_keep_alive=KEEP_ALIVE,
            timeout_worker_healthcheck=PATIENCE,
        )
