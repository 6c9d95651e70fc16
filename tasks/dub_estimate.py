"""The plan of a library dub: what is to be done, how long it takes, what it leaves and what it costs.

Files are looked at by their headers only, and nothing is written. Times come from measured rates (`dub_rates`); a range
says how far they may be off.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import DubwrightError, InputRejected
from storage.layout import Root
from storage.media_glance import Glance, glance
from tasks.config import Config
from tasks.dub_finished import CHANGED, FINISHED, KEPT_BACK, REJECTED, Finished
from tasks.dub_rates import FINISH, KINDS, LOOK, RENDER, DubRates, dub_rates, passes
from tasks.estimate import GLANCES, workers_here
from tasks.jobs import Job, output_place
from tasks.moods import Moods

_LEAST_SPREAD, _SHIPPED_FACTOR, _OTHER_SETTINGS = 0.1, 3.0, 2.0
_WORTH_A_WORKER_S = 20.0
"""Footage of a single film for which it pays to start a worker more; under three times that, none is started."""
_NO_KEY = "0" * 64


@dataclass(frozen=True)
class WorkPlan:
    """A kind of work (look, render, finish): films and frames that it is done to, seconds of it on one worker and their
    range."""

    kind: str
    films: int
    frames: int
    seconds: float
    low: float
    high: float
    cost: float | None = None


@dataclass(frozen=True)
class DubPlan:
    """What a run would do.

    jobs: asked for; of these finished (their files stand where they should), kept_back (for review), rejected (no file
    came of them and none would), refused and unreadable (named, with the reason), and to_do. videos: that the jobs to
    do are made from. film_s, frames: of the jobs to do. wall_s, wall_low, wall_high: seconds that the run takes with
    `workers`. output_bytes: of the files made; cache_bytes: of the parts and looks kept meanwhile, at most; free_bytes:
    on that disk now. cost: of the processors or accelerators for the run, cost_month: of the files for a month, in the
    currency of the prices; None without a price.
    """

    jobs: int
    finished: int
    kept_back: int
    rejected: int
    refused: list[str]
    unreadable: list[str]
    to_do: int
    videos: int
    film_s: float
    frames: int
    workers: int
    work: list[WorkPlan]
    seconds: float
    wall_s: float
    wall_low: float
    wall_high: float
    output_bytes: int
    cache_bytes: int
    free_bytes: int
    cost: float | None
    cost_month: float | None
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Todo:
    """A job to be done: seconds, frames and size of its film, whether an emotion is asked for, and what is done of it:
    whether somebody has looked at the film, and how many frames are rendered."""

    job: Job
    seconds: float
    frames: float
    megapixels: float
    felt: bool
    looked: bool
    drawn: float

    def left(self, kind: str) -> float:
        """Frames that this kind of work is still to be done to."""
        done = {LOOK: self.frames * self.looked, RENDER: self.drawn, FINISH: 0.0}
        return max(0.0, self.frames - done[kind])


def estimate_dub(jobs: Sequence[Job], config: Config, workers: int = 0, *, model_id: str | None = None) -> DubPlan:
    """The plan for these jobs under this configuration.

    Args:
        workers: that work beside each other; 0: as many as the configuration asks for, else one for each CPU here.
        model_id: of the model that would render; None: finished is what any model has rendered.

    Raises:
        UsageError: the output of a single job (none of a manifest) cannot be written.
    """
    root = Root(config.root)
    known = Finished(root, config, model_id)
    counts = dict.fromkeys((FINISHED, KEPT_BACK, REJECTED, CHANGED), 0)
    refused: list[str] = []
    unreadable: list[str] = []
    wanted: list[tuple[Job, Moods]] = []
    places: set[str] = set()
    for job in jobs:
        missing = _missing(job)
        if missing is not None:
            unreadable.append(missing)
            continue
        try:
            moods = Moods.read(job.emotion, job.intensity)
            place = str(output_place(job, _NO_KEY, root)) if job.output is not None else ""
        except (InputRejected, DubwrightError) as error:
            if not job.confined:
                raise
            refused.append(f"{job.video}: {error.message}")
            continue
        if place in places:
            refused.append(f"{job.video}: {place} is the output of two rows")
            continue
        places |= {place} - {""}
        state = known.state(job, moods)
        if state is not None:
            counts[state] += 1
        if state in (None, CHANGED):
            wanted.append((job, moods))
    looks, looked = _looks([job.video for job, _ in wanted])
    broken = {video: _fault(look) for video, look in looks.items() if _fault(look)}
    unreadable += [f"{video}: {why}" for video, why in broken.items()]
    todo = [_todo(job, moods, looks[job.video], known) for job, moods in wanted if job.video not in broken]
    rates = dub_rates(known.rows, config)
    notes = _notes(rates, counts[CHANGED], len(looks), looked) if todo else []
    return _total(root, config, rates, todo, workers or workers_here(config, "render"), notes, {
        "jobs": len(jobs), "finished": counts[FINISHED], "kept_back": counts[KEPT_BACK],
        "rejected": counts[REJECTED], "refused": refused, "unreadable": unreadable,
    })  # fmt: skip


def _total(
    root: Root,
    config: Config,
    rates: DubRates,
    todo: Sequence[_Todo],
    workers: int,
    notes: list[str],
    counts: dict[str, Any],
) -> DubPlan:
    videos = {one.job.video for one in todo}
    first = list({one.job.video: one for one in todo if not one.looked}.values())
    work = [_work(kind, rates, first if kind == LOOK else todo, config) for kind in KINDS]
    seconds, low, high = (sum(getattr(one, name) for one in work) for name in ("seconds", "low", "high"))
    at_once = _at_once(todo, workers, config)
    # A film is looked at, and its end written, by one worker: the longest may be what the others wait for.
    longest = max((_alone(one, rates, config, at_once) for one in todo), default=0.0)
    busy, start_s = max(seconds / at_once, longest), rates.start_s if todo else 0.0
    wall, scale = start_s + busy, busy / max(seconds, 1e-9)
    prices = ((config.runtime.price_per_cpu_hour, at_once), (config.runtime.price_per_gpu_hour, 1))
    costs = [price * count * wall / 3600 for price, count in prices if price is not None]
    cost = sum(costs) if costs else None
    if cost is not None and seconds:
        work = [replace(one, cost=cost * one.seconds / seconds) for one in work]
    written = [rates.bytes_per_megapixel * one.frames * one.megapixels for one in todo]
    parts = [one.frames * (rates.stretch_bytes + rates.plan_bytes) for one in todo]
    # What is nearest to its end goes first: so many films, the largest perhaps, are in parts at a time.
    open_at_once = at_once * config.runtime.batch_windows
    held = sum(sorted((sum(pair) for pair in zip(written, parts, strict=True)), reverse=True)[:open_at_once])
    cached = held + rates.look_bytes * sum(one.frames for one in first)
    month, free = config.runtime.price_per_gb_month, _free(root.local)
    if todo and sum(written) + cached > free:
        notes.append(f"the disk of {root.local} has no room for all of it: a run stops there, and goes on later")
    drawn = sum(min(one.drawn, one.frames) for one in todo)
    if drawn or len(first) < len(videos):
        notes.append(
            f"{len(videos) - len(first):,} videos are looked at already, {round(drawn):,} frames drawn: not counted"
        )
    return DubPlan(
        **counts, to_do=len(todo), videos=len(videos), film_s=sum(one.seconds for one in todo),
        frames=round(sum(one.frames for one in todo)), workers=at_once, work=work, seconds=seconds, wall_s=wall,
        wall_low=start_s * 0.7 + low * scale, wall_high=start_s * 1.5 + high * scale,
        output_bytes=round(sum(written)), cache_bytes=round(cached), free_bytes=free, cost=cost,
        cost_month=None if month is None else month * sum(written) / 1e9, notes=notes,
    )  # fmt: skip


def _work(kind: str, rates: DubRates, todo: Sequence[_Todo], config: Config) -> WorkPlan:
    rate = rates.kinds[kind]
    seconds = sum(_seconds(kind, one, rates, config) for one in todo)
    factor = 1 + max(_LEAST_SPREAD, 2 * rate.spread) if rates.measured_here else _SHIPPED_FACTOR
    if not rates.alike:
        factor *= _OTHER_SETTINGS
    # On a machine that had nothing else to do it would have taken about its processor time.
    low, high = seconds * rate.cpu_share / factor, seconds * factor
    left = [frames for one in todo if (frames := one.left(kind))]
    return WorkPlan(kind, len(left), round(sum(left)), seconds, low, high)


def _seconds(kind: str, one: _Todo, rates: DubRates, config: Config) -> float:
    return rates.kinds[kind].seconds(one.left(kind), one.megapixels, passes(config, one.felt))


def _alone(one: _Todo, rates: DubRates, config: Config, at_once: int) -> float:
    """Seconds from the first look at a film to its file, with all workers at hand."""
    drawn = _seconds(RENDER, one, rates, config) / at_once
    return _seconds(LOOK, one, rates, config) + drawn + _seconds(FINISH, one, rates, config)


def _at_once(todo: Sequence[_Todo], workers: int, config: Config) -> int:
    """Workers that have something to do: as `library_run` starts them."""
    useful = len(todo)
    if useful == 1:
        seconds = todo[0].seconds
        useful = int(seconds / _WORTH_A_WORKER_S) if seconds > 3 * _WORTH_A_WORKER_S else 1
    return max(1, min(workers, useful))


def _todo(job: Job, moods: Moods, look: Glance, known: Finished) -> _Todo:
    frames, felt = look.duration_s * look.fps, bool(moods.texts)
    return _Todo(
        job, look.duration_s, frames, look.pixels / 1e6, felt, known.looked(job.video), known.drawn(job, moods)
    )  # fmt: skip


def _missing(job: Job) -> str | None:
    """The first of a job's files that is not there or empty."""
    for path in (job.video, *job.tracks, *([job.speakers] if job.speakers else [])):
        try:
            if os.path.getsize(path) == 0:
                return f"{path}: is empty"
        except OSError as error:
            return f"{path}: {(error.strerror or 'cannot be read').lower()}"
    return None


def _fault(look: Glance) -> str:
    if not look.readable:
        return "is no film that can be read"
    return "" if look.duration_s and look.fps else "is no moving picture"


def _looks(videos: Iterable[str]) -> tuple[dict[str, Glance], int]:
    """What the headers say of each file, and how many were read: of many, some drawn by lot (a manifest may repeat
    itself every few rows), and the others are taken to be like these, byte for byte."""
    names = list(dict.fromkeys(videos))
    drawn = names
    if len(names) > GLANCES:
        drawn = [names[at] for at in np.random.default_rng(0).choice(len(names), GLANCES, replace=False)]
    looks = {name: glance(name) for name in drawn}
    films = [look for look in looks.values() if not _fault(look)]
    if len(names) <= GLANCES or not films:
        return looks | {name: Glance(0) for name in names if name not in looks}, len(looks)
    size = sum(look.bytes for look in films)
    seconds, frames = sum(look.duration_s for look in films), sum(look.duration_s * look.fps for look in films)
    pixels = round(sum(look.pixels * look.duration_s * look.fps for look in films) / max(frames, 1e-9))
    guessed = {}
    for name in names:
        if name not in looks:
            own = os.path.getsize(name)
            guessed[name] = Glance(own, own * seconds / size, frames / seconds, pixels, True)
    return looks | guessed, len(looks)


def _notes(rates: DubRates, changed: int, videos: int, looked: int) -> list[str]:
    notes = [f"rates: {rates.where}"]
    if not rates.alike:
        notes.append("those renders had other settings or another model's: times may be far off")
    if rates.measured_here and (share := rates.kinds[RENDER].cpu_share) < 0.6:
        notes.append(f"the renders measured waited: {share:.0%} of their time was work of a processor; see the low end")
    if changed:
        notes.append(f"{changed:,} finished ones have a newer video or track: done again where its content changed")
    if looked < videos:
        notes.append(f"headers of {looked:,} of {videos:,} videos were read, the others taken to be like them")
    return notes


def _free(place: Path) -> int:
    """Bytes free on the disk where `place` lies, or would lie."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
