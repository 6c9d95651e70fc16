"""One worker of a library: holds the models and takes whatever work comes next. Everything it makes lies on disk."""

from __future__ import annotations

import datetime
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from storage.errors import outcome
from storage.ids import code_revision, file_sha256
from storage.layout import Root
from storage.ledger import Ledger
from storage.schema import RENDERS, row
from tasks.animate import animate_image
from tasks.config import Config
from tasks.config_sections import Gate
from tasks.dubber import Dubber, load_dubber
from tasks.dubbing.batching import together
from tasks.dubbing.delivery import REVIEW, deliver, judged, review_place
from tasks.dubbing.finishing import finish, provenance_facts
from tasks.dubbing.looking import Frames, look
from tasks.dubbing.place import Busy, Place
from tasks.dubbing.rendering import Generate, StretchRenderer
from tasks.dubbing.saved import DubPlan
from tasks.dubbing.stretches import Stretch, stretches_of
from tasks.guard import Guard
from tasks.jobs import Job, Planned
from tasks.moods import Moods
from tasks.voice import VoiceTrack
from tasks.voices import mix_tracks

ANIMATE = "animate"
"""The kind of work that portraits are; those of dubs are named in `spent`."""
DONE, BUSY, MISSING, ENDED = "done", "busy", "missing", "ended"
"""What became of a piece of work. ENDED: the job came to its end, its row is in the ledger."""
_KEPT_OPEN = 4


@dataclass(frozen=True)
class Work:
    """A piece of work on the job of that number: kind, and the stretches for RENDER."""

    number: int
    kind: str
    run: tuple[Stretch, ...] = ()


@dataclass
class _Open:
    """A job as a worker keeps it at hand."""

    plan: DubPlan
    place: Place
    voices: list[VoiceTrack]


class DubWorker:
    """Works on jobs. Never raises: what goes wrong is the row of its job.

    Args:
        on_frames: told how far the work is.
        watched: its process ends when the work gets nowhere (`runtime.clip_limit_s`).
    """

    def __init__(
        self, model_folder: str, config: dict[str, Any], model_id: str, dataset_id: str | None, run_id: str | None,
        ledger: str, device: str, on_frames: Frames | None = None, *, watched: bool = True,
    ) -> None:  # fmt: skip
        self._folder, self._config, self._device = model_folder, Config.model_validate(config), device
        self._model_id, self._dataset_id, self._run_id = model_id, dataset_id, run_id
        self._ledger, self._on_frames = Ledger(ledger), on_frames
        self._root = Root(self._config.root)
        self._models: Dubber | None = None
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = threading.Lock()
        self._at_once = 1
        self._guard = Guard(self._config.runtime.clip_limit_s if watched else 0.0)

    def do(self, works: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
        """For each (job, work) of plain values: {"state", and for a look "stretches", for MISSING what is missing}.

        Several pieces of work are all of kind RENDER and go through the model together.
        """
        tasks = [_task(task) for task, _ in works]
        pieces = [_work(work) for _, work in works]
        self._guard.alive()
        self._at_once = len(pieces)
        try:
            if len(pieces) == 1:
                return [self._one(tasks[0], pieces[0], None)]
            calls = [
                (lambda generate, task=task, piece=piece: self._one(task, piece, generate))
                for task, piece in zip(tasks, pieces, strict=True)
            ]
            return together(self._dubber().pipeline, calls)
        finally:
            self._guard.rest()

    def _one(self, task: Planned, work: Work, generate: Generate | None) -> dict[str, Any]:
        try:
            if _ended(self._ledger, task) is not None:
                return {"state": ENDED}
            return getattr(self, f"_{work.kind}")(task, work, generate)
        except Busy:
            return {"state": BUSY}
        except Exception as error:  # noqa: BLE001 - a job costs itself alone
            made = failed_row(
                task.job, self._run_id, self._config, outcome(error, task.kind), task.key, self._model_id
            ) | {"attempts": max(1, self._ledger.attempts(task.key))}  # fmt: skip
            self._ledger.record(task.key, made["status"], row=to_json(made))
            return {"state": ENDED}

    def _look(self, task: Planned, work: Work, generate: Generate | None) -> dict[str, Any]:
        opened = self._opened(task)
        stretches = stretches_of(opened.plan.segments, self._config.render)
        missing = [one for one in stretches if not opened.place.stretch(one.name).exists()]
        return {"state": DONE, "stretches": [asdict(one) for one in missing], "all": len(stretches)}

    def _render(self, task: Planned, work: Work, generate: Generate | None) -> dict[str, Any]:
        opened = self._opened(task)
        # A track is heard in order of time: runs side by side have one each.
        voices = opened.voices if generate is None else [self._dubber().hear(track) for track in task.job.tracks]
        renderer = StretchRenderer(
            task.job.video, opened.plan, opened.place, voices, self._config, self._dubber(), generate, self._at_once
        )
        made, frames = 0, 0
        total = sum(len(one) for one in work.run)
        for stretch in renderer.render(work.run, lambda: _ended(self._ledger, task) is not None):
            made, frames = made + 1, frames + len(stretch)
            self._tell("rendering", frames, total)
        return {"state": DONE, "made": made}

    def _finish(self, task: Planned, work: Work, generate: Generate | None) -> dict[str, Any]:
        opened = self._opened(task)
        place, job = opened.place, task.job
        stretches = stretches_of(opened.plan.segments, self._config.render)
        with place.claimed(f"{task.key}-finish"):
            missing = [one for one in stretches if not place.stretch(one.name).exists()]
            if _ended(self._ledger, task) is not None:
                return {"state": ENDED}
            if missing:
                return {"state": MISSING, "stretches": [asdict(one) for one in missing]}
            models = self._dubber()
            facts = provenance_facts(task.key, task.source_sha256, task.audio_sha256, self._config, models)
            made = finish(
                job.video, self._sound(job, place), job.tracks, task.out, opened.plan, place, opened.voices, facts,
                self._config, models, self._run_id, self._tell,
            )  # fmt: skip
            self._end(task, made)
            place.clear()
            self._open.pop(task.key, None)
        return {"state": ENDED}

    def _animate(self, task: Planned, work: Work, generate: Generate | None) -> dict[str, Any]:
        job = task.job
        place = Place(self._root, task.key)
        with place.claimed(f"{task.key}-finish"):
            made = animate_image(
                job.video, job.audio, task.out, self._config, self._dubber(), job.emotion, intensity=job.intensity,
                render_id=task.key, run_id=self._run_id, progress=partial(self._tell, "rendering"),
            )  # fmt: skip
            self._end(task, made)
            place.clear()
        return {"state": ENDED}

    def _end(self, task: Planned, made: dict[str, Any]) -> None:
        made = made | {"attempts": max(1, self._ledger.attempts(task.key))}
        self._ledger.record(
            task.key, made["status"], row=to_json(made), output_sha256=file_sha256(made["output_uri"]), kind=task.kind,
            job=asdict(task.job),
        )  # fmt: skip

    def _sound(self, job: Job, place: Place) -> str:
        """The sound of the output: the track, or the sum of several."""
        return str(mix_tracks(job.tracks, place.folder / "sound.wav")) if job.voices else job.audio

    def _opened(self, task: Planned) -> _Open:
        """The job with its plan, from this worker's last few or from the disk; looks at the video if nobody has."""
        with self._lock:
            return self._opened_alone(task)

    def _opened_alone(self, task: Planned) -> _Open:
        known = self._open.get(task.key)
        if known is not None and known.place.plan.exists():
            self._open.move_to_end(task.key)
            return known
        models, job, place = self._dubber(), task.job, Place(self._root, task.key)
        asked = Moods.read(job.emotion, job.intensity)
        plan = look(
            job.video, task.source_sha256, place, self._config, models, job.tracks, asked, job.speakers, self._tell
        )
        found = _Open(plan, place, [models.hear(track) for track in job.tracks])
        self._open[task.key] = found
        while len(self._open) > _KEPT_OPEN:
            self._open.popitem(last=False)
        return found

    def _dubber(self) -> Dubber:
        if self._models is None:
            self._models = load_dubber(
                self._folder, self._config, model_id=self._model_id, dataset_id=self._dataset_id, device=self._device
            )
        return self._models

    def _tell(self, what: str, done: int, total: int) -> None:
        self._guard.alive()
        if self._on_frames is not None:
            self._on_frames(what, done, total)


def ended_row(ledger: Ledger, task: Planned, gate: Gate, digests: Path) -> dict[str, Any] | None:
    """The row of a job that came to an end which a rerun does not change.

    A render whose file stands at the place asked for, unchanged; one that any run would reject; one that the gate kept
    back and still does. What the gate lets pass by now goes to its place. `digests`: see `jobs.digests_of`.
    """
    entry = _ended(ledger, task)
    if entry is None:
        return None
    made = from_json(entry["row"])
    if made["output_uri"] is None:
        return made
    if file_sha256(made["output_uri"], digests) != entry.get("output_sha256"):
        return None
    if made["stage"] != REVIEW:
        return made
    again = judged(made, gate, task.out, task.kind)
    if again["status"] == "ok":
        deliver(Path(made["output_uri"]), Path(task.out))
    if again != made:
        asked = {name: entry[name] for name in ("kind", "job") if name in entry}
        ledger.record(task.key, again["status"], row=to_json(again), output_sha256=entry["output_sha256"], **asked)
    return again


def _ended(ledger: Ledger, task: Planned) -> dict[str, Any] | None:
    """The ledger's last word on a job, if it was its end and its file is there."""
    entry = ledger.last(task.key)
    if entry is None or "row" not in entry or entry["status"] not in ("ok", "rejected"):
        return None
    place = entry["row"].get("output_uri")
    if place is None:
        return entry if entry["status"] == "rejected" else None
    wanted = (task.out, str(review_place(task.out)))
    return entry if place in wanted and Path(place).is_file() else None


def failed_row(
    job: Job, run_id: str | None, config: Config, verdict: dict[str, Any], key: str, model_id: str | None = None
) -> dict[str, Any]:
    """The row of a job that came to nothing."""
    return row(
        RENDERS, render_id=key, run_id=run_id, input_uri=job.video, audio_uri=job.audio, emotion=job.emotion,
        model_id=model_id, config_hash=config.hash(), code_revision=code_revision(), attempts=1,
        created=datetime.datetime.now(datetime.UTC), **verdict,
    )  # fmt: skip


def to_json(made: dict[str, Any]) -> dict[str, Any]:
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


def from_json(plain: dict[str, Any]) -> dict[str, Any]:
    """The row of `to_json`."""
    made = row(RENDERS, **plain)
    if made["created"] is not None:
        made["created"] = datetime.datetime.fromisoformat(made["created"])
    return made


def _task(plain: dict[str, Any]) -> Planned:
    job = plain["job"]
    return Planned(**{**plain, "job": Job(**{**job, "voices": tuple(job["voices"])})})


def _work(plain: dict[str, Any]) -> Work:
    return Work(plain["number"], plain["kind"], tuple(Stretch(**one) for one in plain["run"]))
