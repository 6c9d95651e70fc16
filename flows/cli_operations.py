"""Commands of those who keep it running: metrics, backup, restore, size."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_running import Outcome
from flows.command import Command, command, listing
from flows.console import table
from flows.options import Options
from storage.errors import UsageError


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name, function in COMMANDS.items():
        command(app, name)(function)


def metrics(
    options: Options,
    serve: Annotated[
        int | None,
        typer.Option("--serve", metavar="PORT", min=0, max=65535, help="Answer Prometheus here; 0: any port."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address that --serve listens on.")] = "127.0.0.1",
    write: Annotated[Path | None, typer.Option("--write", help="Write them to this file once (*.prom).")] = None,
) -> Outcome:
    """Throughput, queue, failures by class, GPU use and quality of models, for Prometheus."""
    from flows.metrics import api_url, exposition, serve_metrics, write_metrics

    started = time.monotonic()
    root = options.place().create()
    if serve is not None and write is not None:
        raise UsageError("--serve and --write exclude each other", "choose one")
    if serve is not None:
        serve_metrics(root, serve, host)
        return listing([], started), "stopped", 0
    if write is not None:
        write_metrics(root, write)
        return listing([{"id": write.name, "output": str(write)}], started), f"written to {write}", 0
    text = exposition(root, api_url(root)).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return listing([{"id": name, "value": float(value)} for name, _, value in lines], started), text.rstrip(), 0


def backup(
    options: Options,
    place: Annotated[str, typer.Argument(help="A folder on another disk, or an address (s3://bucket/backups).")],
    extra: Annotated[
        list[str] | None, typer.Option("--with", help="Also renders, keys (that sign outputs; secret) or packs.")
    ] = None,
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Remove all but so many backups.")] = None,
) -> Outcome:
    """Catalog, models, datasets, runs and consents, as they are now, to where they outlive this disk."""
    from storage.backup import backup as make

    started = time.monotonic()
    made = make(options.place(), place, tuple(dict.fromkeys(extra or ())), keep)
    item = {"id": made.name, "output": place, **asdict(made)}
    told = (
        f"{made.name}: {made.files} files, {made.bytes / 1e6:.1f} MB; {made.sent_bytes / 1e6:.1f} MB of them were new"
    )
    if made.dropped:
        told += f"; {made.dropped} older removed"
    for reason in made.left_out:
        told += f"\nleft out: {reason}"
    return listing([item], started), told, int(bool(made.left_out))


def restore(
    options: Options,
    place: Annotated[str, typer.Argument(help="Where `dubwright backup` put it.")],
    at: Annotated[str | None, typer.Option("--at", help="Name of a backup; default: the newest.")] = None,
    names: Annotated[bool, typer.Option("--list", help="Only tell what backups are there.")] = False,
) -> Outcome:
    """Bring a backup back into an empty root, every file checked by its hash."""
    from storage.backup_store import Store
    from storage.restore import restore as bring_back

    started = time.monotonic()
    if names:
        found = Store(place).names()
        return listing([{"id": name} for name in found], started), "\n".join(found) or "no backups yet", 0
    back = bring_back(place, options.place(), at)
    rows = ", ".join(f"{count} {table}" for table, count in back.rows.items()) or "no rows"
    told = f"{back.name} of {back.made}: {back.files} files, {back.bytes / 1e6:.1f} MB; {rows}; {back.models} models"
    return listing([{"id": back.name, "output": str(options.place()), **asdict(back)}], started), told, 0


def size(
    options: Options,
    footage_hours: Annotated[float, typer.Option("--footage-hours", min=0, help="New footage a night; hours.")] = 10.0,
    dub_hours: Annotated[float, typer.Option("--dub-hours", min=0, help="Film to dub a night, times languages.")] = 0.0,
    window_hours: Annotated[float, typer.Option("--window-hours", min=0.1, help="In which it is to be done.")] = 6.0,
    node_cpus: Annotated[int, typer.Option("--node-cpus", min=1, help="CPUs of a node.")] = 8,
    megapixels: Annotated[float, typer.Option("--megapixels", min=0.01, help="Of a frame.")] = 0.9216,
    fps: Annotated[float, typer.Option("--fps", min=1, help="Frames a second.")] = 25.0,
) -> Outcome:
    """How many nodes a load takes, with how much memory and disk, from the measured rates."""
    from tasks.sizing import Load, size_here

    started = time.monotonic()
    load = Load(footage_hours, dub_hours, window_hours, megapixels * 1e6, fps)
    found = size_here(load, options.config(), node_cpus)
    rows = [{"what": name.replace("_", " "), "value": value} for name, value in found.as_dict().items()]
    result = listing([{"id": "size", **found.as_dict()}], started)
    return result, f"{table(rows[:-1])}\n\n{found.where}", 0


COMMANDS: dict[str, Command] = {"metrics": metrics, "backup": backup, "restore": restore, "size": size}
