"""What commands share that run a flow: starting it, telling its result, and the paths of their users."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.console import duration, table
from flows.options import Options
from flows.run_server import prefect_api
from storage.addresses import check_address
from storage.errors import UsageError
from storage.fetching import is_remote, local_path

Outcome = tuple[dict[str, Any], str, int]
Note = Annotated[
    Path | None, typer.Option("--note", help="Also write the ids of what came out to this file (for dvc.yaml).")
]

ITEMS_SHOWN = 40


def run_flow(options: Options, module: str, name: str, **parameters: Any) -> dict[str, Any]:
    """Run a flow with a Prefect API at hand; imports go on while the API starts."""
    options.config()  # a wrong configuration is said at once, not after the server has started
    root = options.place().create()
    with prefect_api(root) as ready:
        flow = getattr(importlib.import_module(f"flows.{module}"), name)
        ready()
        result: dict[str, Any] = flow(options=options, **parameters)
        return result


def finished(result: dict[str, Any], more: str = "") -> Outcome:
    """The result as text: a table of items, the counts, where the report lies; exit code 1 where an item is not ok."""
    rows = [
        {
            "input": Path(str(entry["input"])).name, "status": entry["status"],
            "output": entry["output"] or "", "reason": entry["reason"] or "",
        }
        for entry in result["items"][:ITEMS_SHOWN]
    ]  # fmt: skip
    columns = [name for name in ("input", "status", "output", "reason") if any(row[name] for row in rows)]
    shown = table(rows, columns) if rows and not result.get("table") else ""
    steps = table(result["steps"]) if result.get("steps") else ""
    parts = [result.get("table", ""), result.get("verdict", ""), more, shown, steps]
    if len(result["items"]) > ITEMS_SHOWN:
        parts.append(f"… and {len(result['items']) - ITEMS_SHOWN} more (in the report, or with --json)")
    counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
    parts.append(f"{counts} in {duration(result['seconds'])}\nreport: {result['report']}")
    code = int(bool(result["counts"]["rejected"] or result["counts"]["failed"]))
    return result, "\n\n".join(part for part in parts if part), code


def existing(path: Path | None) -> Any:
    """A path whole, None as it is.

    Raises:
        UsageError: nothing is there.
    """
    if path is None:
        return None
    found = _whole(path)
    if not found.exists():
        raise UsageError(f"{path}: no such file or folder", "check the path")
    return str(found)


def existing_source(place: str) -> str:
    """A local path whole, an address as it is; what lies there is found out when it is listed.

    Raises:
        UsageError: nothing is there, or an address carries a password, which would stand in the run's parameters.
    """
    if is_remote(place):
        check_address(place)
    return place if is_remote(place) else str(existing(Path(local_path(place))))


def _whole(path: Path) -> Path:
    """The path from the root on, without "..": it stands in rows and must mean the same tomorrow."""
    found = path.expanduser()
    return found.resolve() if ".." in found.parts else found.absolute()


def text_of(path: Path | None) -> str | None:
    """A path whole, whether or not something is there; None as it is."""
    return None if path is None else str(_whole(path))


def write_note(path: Path | None, ids: dict[str, Any]) -> None:
    """The ids of what came out, as JSON, where a file was named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ids, indent=2, sort_keys=True) + "\n")
