"""Dubbing a library: many videos, by actors that load the models once; resumable, and a bad item costs itself alone."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from storage.atomic import clear_partials
from storage.errors import InputRejected, outcome
from storage.ids import code_revision, content_id, file_sha256
from storage.layout import Root
from storage.ledger import Ledger
from storage.schema import RENDERS, row
from tasks import cluster
from tasks.animate import animate_image
from tasks.config import Config
from tasks.dub import Frames, dub_video
from tasks.dubber import Dubber, load_dubber, model_version
from tasks.jobs import Job, Planned, plan_job

OnRender = Callable[[dict[str, Any]], None]
"""Told the RENDERS row of each job as it comes to its end."""
WORKER_DIED = "WorkerDied"


def dub_many(
    jobs: Sequence[Job],
    model_folder: str | os.PathLike[str],
    config: Config,
    *,
    model_id: str | None = None,
    dataset_id: str | None = None,
    run_id: str | None = None,
    on_row: OnRender | None = None,
    on_frames: Frames | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """One RENDERS row per job, in the order of the jobs. What is finished already is not touched again.

    A render is finished when the ledger has its row and the file's bytes are those that were written. `on_frames` is
    told how far the job is, where there is only one: several are counted by `on_row`.

    Raises:
        ConfigError: the model or an expert is missing.
        UsageError: the output of a single job cannot be written.
    """
    return _run("dub", jobs, model_folder, config, model_id, dataset_id, run_id, on_row, on_frames, device)


def animate_many(
    jobs: Sequence[Job],
    model_folder: str | os.PathLike[str],
    config: Config,
    *,
    model_id: str | None = None,
    dataset_id: str | None = None,
    run_id: str | None = None,
    on_row: OnRender | None = None,
    on_frames: Frames | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """The same for portraits: `Job.video` is a picture."""
    return _run("animate", jobs, model_folder, config, model_id, dataset_id, run_id, on_row, on_frames, device)


def _run(
    kind: str,
    jobs: Sequence[Job],
    model_folder: str | os.PathLike[str],
    config: Config,
    model_id: str | None,
    dataset_id: str | None,
    run_id: str | None,
    on_row: OnRender | None,
    on_frames: Frames | None,
    device: str,
) -> list[dict[str, Any]]:
    root = Root(config.root).create()
    ledger = Ledger(root.renders / "ledger.jsonl")
    version = model_id or model_version(model_folder)
    rows: dict[int, dict[str, Any]] = {}
    tasks: dict[int, Planned] = {}
    for number, job in enumerate(jobs):
        try:
            tasks[number] = plan_job(kind, job, config, version, root, tasks.values())
        except (OSError, InputRejected) as error:
            own = content_id("not begun", kind, job.video, job.audio, job.output, number)
            rows[number] = _failed(job, run_id, config, outcome(error, "probe"), own)
    for number, task in tasks.items():
        known = _finished(ledger, task)
        if known is not None:
            rows[number] = known
    todo = {number: task for number, task in tasks.items() if number not in rows}
    for done in rows.values():
        _tell(on_row, done)
    arguments = (
        str(model_folder), config.model_dump(mode="json"), version, dataset_id, run_id, str(ledger.path), device
    )  # fmt: skip
    for number, made in _render(todo, arguments, config, ledger, on_frames):
        rows[number] = made
        _tell(on_row, made)
    for number in todo.keys() - rows.keys():
        verdict = {
            "status": "failed", "stage": kind, "error_type": WORKER_DIED,
            "reason": "its worker died (crash or out of memory); run the same command again",
        }  # fmt: skip
        rows[number] = _failed(jobs[number], run_id, config, verdict, tasks[number].key)
        ledger.record(tasks[number].key, "failed", error_type=WORKER_DIED)
        _tell(on_row, rows[number])
    return [rows[number] for number in range(len(jobs))]


class RenderWorker:
    """A Ray actor (or, for a single job, a plain object): loads the models once, then renders jobs. Never raises."""

    def __init__(
        self, model_folder: str, config: dict[str, Any], model_id: str, dataset_id: str | None, run_id: str | None,
        ledger: str, device: str,
    ) -> None:  # fmt: skip
        self._folder, self._config, self._device = model_folder, Config.model_validate(config), device
        self._model_id, self._dataset_id, self._run_id = model_id, dataset_id, run_id
        self._ledger = Ledger(ledger)
        self._models: Dubber | None = None

    def __call__(self, task: dict[str, Any], on_frames: Frames | None = None) -> dict[str, Any]:
        """`number` and the job in, `number` out; the row itself goes through the ledger, whole or not at all."""
        job = Job(**task["job"])
        attempts = self._ledger.attempts(task["key"]) + 1
        self._ledger.record(task["key"], "started")
        try:
            clear_partials(task["out"])
            if self._models is None:
                self._models = load_dubber(
                    self._folder, self._config, model_id=self._model_id, dataset_id=self._dataset_id,
                    device=_device(self._device),
                )  # fmt: skip
            made = self._make(task, job, self._models, on_frames) | {"attempts": attempts}
            details: dict[str, Any] = {"output_sha256": file_sha256(task["out"])}
        except Exception as error:  # noqa: BLE001 - a job costs itself alone
            made = _failed(job, self._run_id, self._config, outcome(error, task["kind"]), task["key"], self._model_id)
            details = {}
        self._ledger.record(task["key"], made["status"], row=_to_json(made), **details)
        return {"number": task["number"]}

    def _make(self, task: dict[str, Any], job: Job, models: Dubber, on_frames: Frames | None) -> dict[str, Any]:
        known = {"render_id": task["key"], "run_id": self._run_id}
        if task["kind"] == "animate":
            told = None if on_frames is None else partial(on_frames, "rendering")
            return animate_image(
                job.video, job.audio, task["out"], self._config, models, job.emotion, progress=told, **known
            )
        return dub_video(
            job.video, job.audio, task["out"], self._config, models, job.emotion, speakers=job.speakers,
            progress=on_frames, **known,
        )  # fmt: skip


def _render(
    todo: dict[int, Planned], arguments: tuple[Any, ...], config: Config, ledger: Ledger, on_frames: Frames | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, row) as jobs end. A single job is rendered in this process: Ray would take longer to start."""
    if not todo:
        return
    rows = [
        {"number": number, "job": asdict(task.job), "kind": task.kind, "out": task.out, "key": task.key}
        for number, task in todo.items()
    ]
    if len(rows) == 1:
        worker = RenderWorker(*arguments)
        answers: Iterator[dict[str, Any]] = iter([worker(rows[0], on_frames)])
    else:
        gpus = 1.0 if _device(arguments[-1]) != "cpu" else 0.0
        answers = cluster.map_rows(rows, RenderWorker, arguments, config, gpus)
    for answer in answers:
        entry = ledger.last(todo[answer["number"]].key)
        if entry is not None and "row" in entry:
            yield answer["number"], _from_json(entry["row"])


def _finished(ledger: Ledger, task: Planned) -> dict[str, Any] | None:
    """The row of a render whose file stands at the place asked for, unchanged."""
    entry = ledger.last(task.key)
    if entry is None or "row" not in entry:
        return None
    made = _from_json(entry["row"])
    if entry["status"] == "rejected":
        return made  # the same input would be rejected again
    out = Path(task.out)
    if entry["status"] != "ok" or made["output_uri"] != task.out or not out.is_file():
        return None
    return made if file_sha256(out) == entry.get("output_sha256") else None


def _failed(
    job: Job, run_id: str | None, config: Config, verdict: dict[str, Any], key: str, model_id: str | None = None
) -> dict[str, Any]:
    return row(
        RENDERS, render_id=key, run_id=run_id, input_uri=job.video, audio_uri=job.audio, emotion=job.emotion,
        model_id=model_id, config_hash=config.hash(), code_revision=code_revision(), attempts=1,
        created=datetime.datetime.now(datetime.UTC), **verdict,
    )  # fmt: skip


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _tell(on_row: OnRender | None, made: dict[str, Any]) -> None:
    if on_row is not None:
        on_row(made)


def _to_json(made: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON values; nulls are left out."""
    plain: dict[str, Any] = {}
    for name, value in made.items():
        if value is None:
            continue
        if isinstance(value, datetime.datetime):
            value = value.isoformat()
        elif hasattr(value, "tolist"):
            value = [round(float(v), 6) for v in value.tolist()]
        plain[name] = value
    return plain


def _from_json(plain: dict[str, Any]) -> dict[str, Any]:
    made = row(RENDERS, **plain)
    if made["created"] is not None:
        made["created"] = datetime.datetime.fromisoformat(made["created"])
    return made
