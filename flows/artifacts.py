"""What a run leaves in Prefect: progress while it goes on; then tables, words, pictures, links, and its lineage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.console import Progress, cell, duration
from flows.lineage import record_lineage
from flows.pages import page_url
from tasks.report_pictures import pictures_of

UPDATE_EVERY_S = 2.0  # an update is a request to the server
TABLE_ROWS = 500


class Tracked(Progress):
    """Progress on the terminal and as a Prefect progress artifact at once. Only inside a flow or task run."""

    def __init__(self, title: str, total: int = 0, unit: str = "items") -> None:
        super().__init__(title, total, unit)
        created = create_progress_artifact(0.0, key=_key(title), description=title)
        self._artifact = created if isinstance(created, UUID) else None
        self._sent = time.monotonic()

    def advance(self, status: str = "ok", steps: int = 1, total: int | None = None) -> None:
        """Count `steps` finished items that ended as `status`; `total` corrects the expected number."""
        super().advance(status, steps, total)
        if self.total and time.monotonic() - self._sent >= UPDATE_EVERY_S:
            self.send(100.0 * self.done / self.total)

    def send(self, percent: float) -> None:
        """Bring the artifact up to date."""
        self._sent = time.monotonic()
        if self._artifact is not None:
            update_progress_artifact(self._artifact, min(100.0, percent))


@contextmanager
def tracked(title: str, total: int = 0, unit: str = "items") -> Iterator[Tracked]:
    """Show the progress of the body: ``with tracked("dub", 8, "videos") as progress: progress.advance()``."""
    with Tracked(title, total, unit) as progress:
        yield progress
        progress.send(100.0)


def publish(result: Mapping[str, Any], command: str, shown: Mapping[str, Any] | None = None) -> None:
    """What came of the current flow run, for whoever looks at it in Prefect.

    Items, metrics of models and what the gate found as tables, the outcome in words, pictures that need no network, a
    link to the report; and the lineage of what was made.

    Args:
        shown: the parts of the run's report (`flows.run.Run.shown`).
    """
    shown = shown or {}
    items = [
        {name: cell(entry.get(name)) for name in ("id", "input", "output", "status", "stage", "reason")}
        for entry in result["items"][:TABLE_ROWS]
    ]
    if items:
        create_table_artifact(
            items, key=_key(f"{command}-items"), description=f"{command}: every input and its outcome"
        )
    if shown.get("evaluation"):
        measured = [{name: cell(value) for name, value in entry.items()} for entry in shown["evaluation"]]
        create_table_artifact(
            measured, key=_key(f"{command}-metrics"), description=result.get("verdict") or f"{command}: metrics"
        )
    differences = (shown.get("gate") or {}).get("differences")
    if differences:
        judged = [{name: cell(value) for name, value in entry.items()} for entry in differences]
        create_table_artifact(judged, key=_key(f"{command}-gate"), description=shown["gate"]["reason"])
    create_markdown_artifact(summary(result, command, shown), key=_key(f"{command}-summary"))
    report = result.get("report")
    if report:
        create_link_artifact(page_url(report), link_text="report", key=_key(f"{command}-report"))
        for picture in pictures_of(shown, Path(report)):
            create_image_artifact(picture.uri, key=_key(f"{command}-{picture.key}"), description=picture.title)
    if result.get("dataset_page"):
        page = page_url(result["dataset_page"])
        create_link_artifact(page, link_text=f"dataset {result.get('dataset', '')}", key=_key(f"{command}-dataset"))
    record_lineage(result, shown)


def summary(result: Mapping[str, Any], command: str, shown: Mapping[str, Any]) -> str:
    """The outcome of a run in Markdown: counts, time, what the gate decided, why nothing was done."""
    counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
    parts = [f"**{command}** `{result['run_id']}`: {counts}, {duration(result['seconds'])}"]
    gate, why = shown.get("gate") or {}, result.get("table")
    if gate:
        parts.append(f"**{'promoted' if gate.get('promoted') else 'not promoted'}**: {gate.get('reason', '')}")
    elif isinstance(why, str):
        parts.append(why)
    lineage = shown.get("lineage") or {}
    parts.append("\n".join(f"- {label}: `{value}`" for label, value in lineage.items() if value))
    return "\n\n".join(part for part in parts if part)


def _key(text: str) -> str:
    # Prefect takes lower case letters, digits and dashes only.
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())
