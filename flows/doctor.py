"""`dubwright doctor`: what is here, what is missing, and what to do about it.

Not a flow: it must work where Prefect does not.
"""

from __future__ import annotations

import os
import time
from typing import Any

from flows.console import table
from flows.options import Options
from flows.server import is_healthy, served_url
from storage.errors import ConfigError
from storage.layout import Root
from tasks.inventory import checkpoint_table, inventory

FAULTS = ("missing", "wrong")
MEMORY = "GPU memory is what their makers published; this project has not measured it"


def examine(options: Options) -> tuple[dict[str, Any], str, int]:
    """(result, text, exit code): 0 where nothing needed is missing or other than published, 1 otherwise."""
    started = time.monotonic()
    config = options.config()
    findings = [*inventory(config), _prefect(Root(config.root))]
    items = [
        {
            "id": finding["what"], "input": finding["what"], "output": None,
            "status": "failed" if finding["status"] in FAULTS else "ok",
            "stage": "doctor", "reason": finding["remedy"] or None,
            "metrics": {"status": finding["status"], "detail": finding["detail"]},
        }
        for finding in findings
    ]  # fmt: skip
    faults = [finding for finding in findings if finding["status"] in FAULTS]
    counts = {"ok": len(items) - len(faults), "rejected": 0, "failed": len(faults)}
    result = {
        "run_id": None, "counts": counts, "items": items, "report": None,
        "seconds": round(time.monotonic() - started, 3), "config": config.model_dump(mode="json"),
        "checkpoints": (checkpoints := checkpoint_table(config)),
    }  # fmt: skip
    advice = [f"{finding['what']}: {finding['remedy']}" for finding in findings if finding["remedy"]]
    text = table(findings, ("what", "status", "detail"))
    if advice:
        text += "\n\n" + "\n".join(advice)
    if checkpoints:
        text += f"\n\npublic checkpoints of this profile ({MEMORY}):\n" + _shown(checkpoints)
    return result, text, int(bool(faults))


def _shown(checkpoints: list[dict[str, Any]]) -> str:
    """The table of public checkpoints, and how to fetch those that a run does without."""
    rows = [
        {
            "checkpoint": entry["checkpoint"] + ("" if entry["needed"] else " (optional)"),
            "file": entry["files"][0] + (f" + {len(entry['files']) - 1}" if len(entry["files"]) > 1 else ""),
            "MB": None if entry["bytes"] is None else round(entry["bytes"] / 1e6, 1),
            "sha256 of it": (entry["sha256"][entry["files"][0]] or "none published")[:14],
            "GPU memory": entry["GPU memory, published"], "from": entry["from"].removeprefix("https://"),
            "put into": entry["put into"], "licence": entry["licence"], "gives": entry["gives"],
        }
        for entry in checkpoints
    ]  # fmt: skip
    fetched = [command for entry in checkpoints if not entry["needed"] for command in entry["fetch"]]
    return table(rows) + ("\n\nthe optional ones:\n" + "\n".join(fetched) if fetched else "")


def _prefect(root: Root) -> dict[str, str]:
    url = os.environ.get("PREFECT_API_URL")
    if url and not is_healthy(url):
        raise ConfigError(
            f"PREFECT_API_URL is {url}, and nothing answers there", "start that server or unset the variable"
        )
    url = url or served_url(root)
    detail = (
        f"answers at {url}" if url else "none running: each run brings its own (`dubwright up` starts a lasting one)"
    )
    return {"what": "prefect server", "status": "ok", "detail": detail, "remedy": ""}
