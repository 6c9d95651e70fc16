"""A run as a process of its own, whose workers note where they are at work: `python -m tests.tasks.ray_driver JSON`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import flows  # noqa: F401 - sets the environment that Ray reads
from storage.errors import DubwrightError
from tasks import preprocess
from tasks.cluster_nodes import node_id
from tasks.config import Config
from tasks.dubbing import pools
from tasks.dubbing.worker import DubWorker
from tasks.jobs import Job
from tasks.library_run import dub_many
from tasks.probe import find_sources
from tasks.steps.store import Store
from tasks.steps.walk import Walker


def note(log: Path, what: str) -> None:
    """One line: the node, and what it is at."""
    with log.open("a") as stream:
        stream.write(f"{node_id()} {what}\n")


class NotingSources(preprocess.SourceWorker):
    """Notes every source."""

    def walker(self, store: Store) -> Walker:
        note(Path(self._config.root).with_suffix(".log"), "source")
        return super().walker(store)


class NotingDubs(DubWorker):
    """Notes every piece of work, and every stretch."""

    def _one(self, task: Any, work: Any, generate: Any) -> dict[str, Any]:
        note(Path(self._config.root).with_suffix(".log"), work.kind)
        return super()._one(task, work, generate)

    def _tell(self, what: str, done: int, total: int) -> None:
        if what == "rendering":
            note(Path(self._config.root).with_suffix(".log"), "stretch")
        super()._tell(what, done, total)


def main(told: dict[str, Any]) -> dict[str, Any]:
    """A dataset of what lies in "footage", and dubs of "jobs" by "model", with "config"."""
    config = Config.model_validate(told["config"])
    for module, name, worker in (
        (preprocess, "SourceWorker", NotingSources), (pools, "DubWorker", NotingDubs)
    ):  # fmt: skip
        setattr(module, name, worker)
    built = preprocess.preprocess_many(find_sources([told["footage"]]), "set", config)
    rows = dub_many([Job(**job) for job in told["jobs"]], told["model"], config, model_id="tiny")
    return {"version": built.version, "statuses": [row["status"] for row in rows]}


if __name__ == "__main__":
    try:
        answer = main(json.loads(sys.argv[1]))
    except DubwrightError as error:
        answer = {"error": error.message, "remedy": error.remedy, "code": error.exit_code}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
