"""One run of a command: what it was asked, what came of every input, how long it took, and the report of it all."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.console import duration, plain, say
from storage.catalog import Catalog
from storage.ids import code_revision
from storage.layout import Root
from storage.masking import masked
from storage.mirror import bring, publish
from storage.schema import RUNS, STATUSES, row
from tasks.config import Config
from tasks.report import Report, write_report

Result = dict[str, Any]
"""The JSON object of `--json`: run_id, counts, items, report, seconds; and what a command adds to it."""


def item(
    id: str, input: str, output: str | None, status: str, stage: str | None, reason: str | None, **metrics: Any
) -> dict[str, Any]:
    """One entry of a result's ``items``; metrics that were not measured are left out."""
    measured = {name: value for name, value in metrics.items() if value is not None}
    return {"id": id, "input": input, "output": output, "status": status, "stage": stage, "reason": reason,
            "metrics": measured}  # fmt: skip


@dataclass
class Run:
    """A run in progress. `stage` times its parts; `finish` writes the RUNS row and the report and gives the result."""

    command: str
    config: Config
    arguments: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    place: Path | None = None
    """Folder of the report; default: within the run's own."""

    def __post_init__(self) -> None:
        self.root = Root(self.config.root).create()
        bring(self.root)
        self.started = datetime.datetime.now(datetime.UTC)
        self._clock = time.monotonic()
        self.run_id = self.run_id or f"{self.started:%Y%m%d-%H%M%S}-{self.command}-{secrets.token_hex(3)}"
        self.folder = self.root.runs / self.run_id
        self.folder.mkdir(parents=True)
        self.shown: dict[str, Any] = {}
        self.finished = False
        settings = self.folder / "config.json"
        settings.write_text(masked(self.config.model_dump_json(indent=2)))
        say(f"{self.command}: run {self.run_id}, profile {self.config.profile}, configuration in {settings}")

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage; the body may put a sentence about its outcome under ``result``."""
        entry: dict[str, Any] = {"name": name, "seconds": None, "result": ""}
        began = time.monotonic()
        self.stages.append(entry)
        try:
            yield entry
        finally:
            entry["seconds"] = time.monotonic() - began
        say(f"{name}: {entry['result'] or 'done'} ({duration(entry['seconds'])})")

    def show(self, **parts: Any) -> None:
        """Add parts of the report: renders, clips, dataset, training, evaluation, protocol, gate, lineage."""
        self.shown.update(parts)

    @property
    def counts(self) -> dict[str, int]:
        """Items by status."""
        return {status: sum(entry["status"] == status for entry in self.items) for status in STATUSES}

    @property
    def report(self) -> Path:
        """Where the report of this run lies once it is finished."""
        return (self.place.absolute() if self.place else self.folder / "report") / "index.html"

    def finish(self, **more: Any) -> Result:
        """Write report and RUNS row; returns the result, with `more` added to it."""
        began = time.monotonic()
        record = self._record(time.monotonic() - self._clock)
        parts = {"stages": self.stages, "items": self.items, **self.shown}
        write_report(Report(run=record, **parts), self.report.parent, self.root)
        Catalog(self.root).upsert("runs", record)
        seconds = time.monotonic() - self._clock
        say(f"report: {self.report} ({duration(time.monotonic() - began)})")
        result = {
            "run_id": self.run_id, "counts": self.counts, "items": self.items, "report": str(self.report),
            "seconds": round(seconds, 3), **more,
        }  # fmt: skip
        self.root.push(self.folder)
        publish(self.root)
        self.finished = True
        kept: Result = plain(result)  # a server keeps it as JSON
        return kept

    def _record(self, seconds: float) -> dict[str, Any]:
        counts = self.counts
        status = "failed" if counts["failed"] else "rejected" if counts["rejected"] else "ok"
        given = {name: value for name, value in self.arguments.items() if value not in (None, "", [], False)}
        words = [f"--{name.replace('_', '-')} {_words(value)}" for name, value in given.items()]
        return row(
            RUNS, run_id=self.run_id, command=masked(" ".join([self.command, *words])), status=status,
            config=masked(self.config.model_dump_json()), counts=json.dumps(counts), started=self.started,
            seconds=seconds, report=self.root.relative(self.report), config_hash=self.config.hash(),
            code_revision=code_revision(), created=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip


def _words(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(os.fspath(entry) if isinstance(entry, Path) else str(entry) for entry in value)
    return str(value)
