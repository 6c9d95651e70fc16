"""Dubbing a library: many videos, by workers that hold the models; resumable, and a bad item costs itself alone.

What is done lies on disk as it is done: finished files with their rows in `renders/ledger.jsonl`, parts of the others
under the cache (`tasks.dubbing`). So a run that was killed goes on where it stopped, to the stretch of a few seconds,
and two runs on one root share the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from storage import media
from storage.errors import DubwrightError, InputRejected, outcome
from storage.ids import content_id
from storage.layout import Root
from storage.ledger import Ledger
from tasks import cluster
from tasks.config import Config
from tasks.dubber import model_version
from tasks.dubbing.looking import Frames
from tasks.dubbing.pools import Actors, OwnProcess, device_here, device_of_workers
from tasks.dubbing.queue import OnStretch, Queue
from tasks.dubbing.worker import DubWorker, ended_row, failed_row, from_json
from tasks.jobs import Job, Planned, Planner, digests_of

OnRender = Callable[[dict[str, Any]], None]
"""Told the RENDERS row of each job as it comes to its end."""
WORKER_DIED = "WorkerDied"
Arguments = tuple[str, dict[str, Any], str, str | None, str | None, str]
_SHORT_S = 60.0
_WORTH_A_WORKER_S = 20.0
"""Footage for which it pays to start a worker more."""


def dub_many(
    jobs: Sequence[Job],
    model_folder: str | os.PathLike[str],
    config: Config,
    *,
    kind: str = "dub",
    model_id: str | None = None,
    dataset_id: str | None = None,
    run_id: str | None = None,
    on_row: OnRender | None = None,
    on_frames: Frames | None = None,
    on_stretch: OnStretch | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """One RENDERS row per job, in the order of the jobs. What is finished already is not touched again.

    A render is finished when the ledger has its row and the file's bytes are those that were written.

    Args:
        kind: "dub", or "animate" for portraits: `Job.video` is a picture.
        on_frames: told how far the job is, where there is only one and it is short.
        on_stretch: told how far each job is, in stretches, where there are several.

    Raises:
        UsageError: the output of a single job cannot be written.
        WorkersFailed: workers die whatever they are given.
    """
    root = Root(config.root).create()
    ledger = Ledger(root.renders / "ledger.jsonl")
    version = model_id or model_version(model_folder)
    rows: dict[int, dict[str, Any]] = {}
    tasks: dict[int, Planned] = {}
    planner = Planner(kind, config, version, root)
    for number, job in enumerate(jobs):
        try:
            tasks[number] = planner.plan(job)
        except (OSError, InputRejected) as error:
            own = content_id("not begun", kind, job.video, job.audio, job.output, number)
            rows[number] = failed_row(job, run_id, config, outcome(error, "probe"), own)
    for number, task in tasks.items():
        _fetch_made(root, ledger, task)
        known = ended_row(ledger, task, config.gate, digests_of(root))
        if known is not None:
            rows[number] = known
    tell = on_row or (lambda made: None)
    for done in rows.values():
        tell(done)
    todo = {number: task for number, task in tasks.items() if number not in rows}
    arguments = (
        os.path.abspath(model_folder),
        cluster.settings(config),
        version,
        dataset_id,
        run_id,
        str(ledger.path),
    )
    for number, lost_at in _ended(todo, arguments, config, ledger, device, on_frames, on_stretch):
        entry = ledger.last(tasks[number].key)
        if lost_at is None and entry is not None and "row" in entry:
            rows[number] = from_json(entry["row"])
        else:
            verdict = {
                "status": "failed", "stage": lost_at or kind, "error_type": WORKER_DIED,
                "reason": "its worker died (crash, out of memory, or no sign of life for "
                f"{config.runtime.clip_limit_s:g} s); run the same command again",
            }  # fmt: skip
            rows[number] = failed_row(jobs[number], run_id, config, verdict, tasks[number].key)
            ledger.record(tasks[number].key, "failed", error_type=WORKER_DIED)
        tell(rows[number])
    return [rows[number] for number in range(len(jobs))]


def _fetch_made(root: Root, ledger: Ledger, task: Planned) -> None:
    """Bring a render here that another machine made on this remote root."""
    entry = ledger.last(task.key)
    made = (entry or {}).get("row", {}).get("output_uri")
    if made is not None and not root.is_local and Path(made).is_relative_to(root.local):
        root.pull(made)


animate_many = partial(dub_many, kind="animate")
"""The same for portraits."""


def _ended(
    todo: dict[int, Planned],
    arguments: Arguments,
    config: Config,
    ledger: Ledger,
    device: str,
    on_frames: Frames | None,
    on_stretch: OnStretch | None,
) -> Iterator[tuple[int, str | None]]:
    """(number, at what work its workers died, or None) of each job as it ends."""
    if not todo:
        return
    for task in todo.values():
        ledger.record(
            task.key, "started", durable=False, input_uri=task.job.video, audio_uri=task.job.audio,
            source_sha256=task.source_sha256, audio_sha256=task.audio_sha256,
        )  # fmt: skip
    length_s = _length_s(todo) if len(todo) == 1 else None
    here = config.runtime.in_process or (length_s is not None and length_s <= _SHORT_S)
    if here:  # a single short job is done before Ray has started
        told = on_frames if len(todo) == 1 else None
        pool: OwnProcess | Actors = OwnProcess(
            DubWorker(*arguments, device=device_here(device), on_frames=told, watched=False)
        )
    else:
        count = len(todo) if length_s is None else int(length_s / _WORTH_A_WORKER_S)
        cluster.start(config, _places(todo, arguments[0]))
        pool = Actors(arguments, device_of_workers(config, device), config, count)
    queue = Queue(todo, pool, config, on_stretch)
    try:
        for number in queue.run():
            yield number, queue.lost.get(number)
    finally:
        pool.close()


def _length_s(todo: dict[int, Planned]) -> float:
    """Seconds of the one job's video; none of a picture, and of what cannot be read: it will say why."""
    (task,) = todo.values()
    try:
        return media.probe(task.job.video).duration_s if task.kind == "dub" else 0.0
    except DubwrightError:
        return 0.0


def _places(todo: dict[int, Planned], model: str) -> Iterator[str]:
    """Files that workers read and write, wherever they are."""
    yield os.path.join(model, "model_index.json")
    for task in todo.values():
        yield from (task.out, task.job.video, *task.job.tracks)
