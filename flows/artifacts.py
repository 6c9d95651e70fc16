"""What a run leaves in Prefect: progress while it goes on, then a table, a summary and a link to the report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.console import Progress, cell, duration

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


def publish(result: Mapping[str, Any], command: str) -> None:
    """The result as artifacts of the current flow run: items as a table, counts as markdown, the report as a link."""
    items = [
        {name: cell(entry.get(name)) for name in ("id", "input", "output", "status", "stage", "reason")}
        for entry in result["items"][:TABLE_ROWS]
    ]
    if items:
        create_table_artifact(
            items, key=_key(f"{command}-items"), description=f"{command}: every input and its outcome"
        )
    counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
    create_markdown_artifact(
        f"**{command}** `{result['run_id']}`: {counts}, {duration(result['seconds'])}", key=_key(f"{command}-summary")
    )
    if result.get("report"):
        create_link_artifact(f"file://{result['report']}", link_text="report", key=_key(f"{command}-report"))
    if result.get("dataset_page"):
        page = f"file://{result['dataset_page']}"
        create_link_artifact(page, link_text=f"dataset {result.get('dataset', '')}", key=_key(f"{command}-dataset"))


def _key(text: str) -> str:
    # Prefect takes lower case letters, digits and dashes only.
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())
