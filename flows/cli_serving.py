"""Commands that serve: up, down, deploy."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from flows.cli_running import Outcome
from flows.command import Command, command, listing
from flows.console import table
from flows.options import Options
from storage.errors import ConfigError

Cron = Annotated[str, typer.Option("--cron", help="When the nightly deployment runs (UTC).")]
Notify = Annotated[
    str | None,
    typer.Option(
        "--notify", envvar="DUBWRIGHT_NOTIFY",
        help="Who is told of failures: TYPE/NAME of a Prefect block (slack-webhook/ops), or an address for JSON.",
    ),
]  # fmt: skip
NIGHT = "0 2 * * *"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name, function in COMMANDS.items():
        command(app, name)(function)


def up(
    options: Options,
    port: Annotated[
        int, typer.Option("--port", help="Port of the Prefect server; reports are on the next one.")
    ] = 4200,
    cron: Cron = NIGHT,
    notify: Notify = None,
    detach: Annotated[bool, typer.Option("--detach", help="In the background; end it with `dubwright down`.")] = False,
) -> Outcome:
    """A local Prefect server with a worker and the deployments, and a Ray head; until interrupted."""
    from flows.up import Wanted, serve_here
    from flows.up import detach as in_the_background

    wanted = Wanted(port, cron, notify)
    return in_the_background(options, wanted) if detach else serve_here(options, wanted)


def down(options: Options) -> Outcome:
    """End what `dubwright up` started on this root."""
    from flows.down import bring_down

    return bring_down(options)


def deploy(
    options: Options,
    pool: Annotated[str, typer.Option("--pool", help="Work pool; made where it is not there.")] = "dubwright",
    kind: Annotated[str, typer.Option("--type", help="Type of the work pool: process, kubernetes, …")] = "process",
    image: Annotated[str | None, typer.Option("--image", help="Container image of the runs.")] = None,
    cron: Cron = NIGHT,
    notify: Notify = None,
) -> Outcome:
    """Work pool, limits, deployments and notifications onto the server that PREFECT_API_URL names."""
    started = time.monotonic()
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError("deploy needs a server: PREFECT_API_URL is not set", "or `dubwright up` on this machine")
    from flows.deployments import deploy as register
    from flows.notifications import notify_through

    names = register(options, pool, kind, cron, {"image": image} if image else {})
    told = notify_through(notify) if notify else []
    rows = [{"id": name, "pool": pool, "what": "deployment"} for name in names]
    rows += [{"id": name, "pool": "", "what": "automation"} for name in told]
    return listing(rows, started), table(rows), 0


COMMANDS: dict[str, Command] = {"up": up, "down": down, "deploy": deploy}
