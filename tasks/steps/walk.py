"""One source through all steps: each runs for the clips that it was not done to yet, and gates decide who goes on.

Step by step over the whole film, each leaving its part before the next begins: a worker that dies costs one step of one
source, and an hour of footage never lies in memory.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage import media
from storage.errors import InputFailed, outcome
from storage.step_fields import is_plain, step_fields
from storage.step_parts import OUTCOME, StepPart, written_part
from tasks.config import Config
from tasks.experts import Experts
from tasks.sources import Source
from tasks.steps.cropping import crop_film
from tasks.steps.gates import judge
from tasks.steps.recipe import CROPS, STEPS, TRACKS
from tasks.steps.step import Clip, Step
from tasks.steps.store import Store
from tasks.steps.tally import Tally
from tasks.steps.tracking import track_film
from tasks.steps.watch import DIED, TIMED_OUT, Watch

FILM = -1
"""Number of the row that tells how a step went that is done to the whole film."""


@dataclass
class Walk:
    """What came of one source.

    verdicts: clip number → outcome columns of the clip, and the columns that gates settled. film: the outcome of the
    whole film where that decided (no face, broken). facts: of the tracking step. tally: step → how many clips were
    computed now, were there already, failed, and the seconds and CPU seconds spent now.
    """

    source: Source
    keys: Mapping[str, str]
    verdicts: dict[int, dict[str, Any]] = field(default_factory=dict)
    decided: dict[int, dict[str, Any]] = field(default_factory=dict)
    film: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    tally: dict[str, Tally] = field(default_factory=dict)

    def tell_by_address(self, copy: str, address: str) -> None:
        """Let reasons name the address of a film instead of the place of its copy."""
        for verdict in (self.film, *self.verdicts.values()):
            if verdict is not None and verdict.get("reason"):
                verdict["reason"] = verdict["reason"].replace(copy, address)


class Walker:
    """Takes sources through the recipe of a configuration.

    Args:
        retry: failed steps are done again; else what failed stays as it is.
    """

    def __init__(self, config: Config, experts: Experts, store: Store, watch: Watch, retry: bool = False) -> None:
        self._config, self._experts, self._store, self._watch, self._retry = config, experts, store, watch, retry

    def walk(self, source: Source, info: media.MediaInfo, keys: Mapping[str, str]) -> Walk:
        """All steps of a source; never raises for the sake of its file."""
        walk = Walk(source, keys)
        tracked = self._track(walk, STEPS[0], info)
        if tracked is None:
            return walk
        parts = {TRACKS: tracked}
        clips = {number: Clip(number, source, parts) for number in tracked.clips if number != FILM}
        self._learn(clips, STEPS[0], tracked)
        walk.verdicts = {number: {"status": "ok", "stage": "clips"} for number in clips}
        going = self._judge(walk, TRACKS, list(clips.values()))
        for step in STEPS[1:]:
            part = self._do(walk, step, going)
            if part is None:
                continue
            parts[step.name] = part
            self._learn(clips, step, part)
            passed = []
            for clip in going:
                work = part.work(clip.number)
                if work is not None and work["status"] == "ok":
                    passed.append(clip)
                elif work is not None:
                    walk.verdicts[clip.number] = {name: work[name] for name in OUTCOME}
            going = self._judge(walk, step.name, passed)
        walk.decided = {number: clip.settled for number, clip in clips.items()}
        return walk

    def _judge(self, walk: Walk, step: str, clips: list[Clip]) -> list[Clip]:
        judged = judge(step, clips, self._config)
        for clip in clips:
            clip.settle(judged.decided.get(clip.number, {}))
        for number, error in judged.refused.items():
            walk.verdicts[number] = {name: outcome(error)[name] for name in OUTCOME}
        return [clip for clip in clips if clip.number not in judged.refused]

    def _learn(self, clips: Mapping[int, Clip], step: Step, part: StepPart) -> None:
        """A part's plain numbers and words are kept at hand."""
        for number, values in part.light([f.name for f in step_fields(step.fields) if is_plain(f)]).items():
            if number in clips:
                clips[number].known |= values

    def _track(self, walk: Walk, step: Step, info: media.MediaInfo) -> StepPart | None:
        """The first step, which finds the clips; None where the film decides (it breaks, nobody is in it)."""
        key = walk.keys[step.name]
        part = self._store.part(step.name, key)
        tally = walk.tally.setdefault(step.name, Tally())
        if self._is_done(part, FILM):
            tally.kept += 1
        else:
            self._track_now(walk, step, info, tally)
            part = self._store.part(step.name, key)
        assert part is not None
        work = part.work(FILM) or {}
        walk.facts = part.facts
        if work.get("status") != "ok":
            walk.film = {name: work.get(name) for name in OUTCOME}
            return None
        return part

    def _track_now(self, walk: Walk, step: Step, info: media.MediaInfo, tally: Tally) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        attempts, error = 1, None
        rows: Iterator[dict[str, Any]] = iter(())
        facts: dict[str, Any] = {}
        with written_part(self._store.path(step.name, walk.keys[step.name]), step_fields(step.fields)) as writer:
            try:
                attempts = self._watch.begin(step.name)
                rows, facts = track_film(walk.source, info, self._config, self._experts, self._watch.alive)
            except Exception as caught:  # noqa: BLE001 - a film costs itself alone
                error = caught
            seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
            writer.facts = facts
            film = _work(error, step.name, attempts, seconds, cpu_seconds)
            writer.write(FILM, film, {})
            for number, values in enumerate(rows):
                writer.write(number, _work(None, step.name, attempts, None, None), values)
        tally.did(film, seconds, cpu_seconds)

    def _do(self, walk: Walk, step: Step, clips: Sequence[Clip]) -> StepPart | None:
        """A step for the clips that got so far: those that it was not done to yet, beside those that it was."""
        key = walk.keys[step.name]
        old = self._store.part(step.name, key)
        tally = walk.tally.setdefault(step.name, Tally())
        rested = old.light(step.rests_on) if old is not None and step.rests_on else {}
        todo = [
            clip for clip in clips
            if not self._is_done(old, clip.number)
            or any(clip.settled.get(name) != rested.get(clip.number, {}).get(name) for name in step.rests_on)
        ]  # fmt: skip
        tally.kept += len(clips) - len(todo)
        if not todo:
            return old
        fresh = self._crop(walk.source, todo) if step.name == CROPS else self._each(step, todo)
        again, settled = {clip.number for clip in todo}, {clip.number: clip.settled for clip in todo}
        with written_part(self._store.path(step.name, key), step_fields(step.fields + step.rests_on)) as writer:
            for number in old.clips if old is not None else ():
                work = old.work(number) if old is not None and number not in again else None
                if old is not None and work is not None:
                    writer.write(number, work, old.table(number))
            for number, found, attempts, seconds, cpu_seconds in fresh:
                error = found if isinstance(found, Exception) else None
                work = _work(error, step.name, attempts, seconds, cpu_seconds)
                rests = {name: settled[number].get(name) for name in step.rests_on}
                writer.write(number, work, rests | found if isinstance(found, dict) else rests)
                tally.did(work, seconds, cpu_seconds)
        return self._store.part(step.name, key)

    def _is_done(self, part: StepPart | None, number: int) -> bool:
        work = part.work(number) if part is not None else None
        return work is not None and not (self._retry and work["status"] == "failed")

    def _each(self, step: Step, clips: Sequence[Clip]) -> Iterator[tuple[int, Any, int, float, float]]:
        """A step that looks at one clip by itself."""
        assert step.each is not None
        for clip in clips:
            wall, cpu, attempts = time.perf_counter(), time.process_time(), 1
            found: Any
            try:
                attempts = self._watch.begin(step.name, clip.number)
                found = step.each(clip, self._config, self._experts)
            except Exception as error:  # noqa: BLE001 - a clip costs itself alone
                found = error
            clip.forget()
            yield clip.number, found, attempts, time.perf_counter() - wall, time.process_time() - cpu

    def _crop(self, source: Source, clips: Sequence[Clip]) -> Iterator[tuple[int, Any, int, float, float]]:
        """The second pass over the film. Where the film breaks, the clips that were whole by then stay."""
        left = {clip.number for clip in clips}
        attempts = 1
        try:
            attempts = self._watch.begin(CROPS)
            for number, found, seconds, cpu_seconds in crop_film(
                source, clips, self._config, self._experts, self._watch.alive
            ):
                left.discard(number)
                yield number, found, attempts, seconds, cpu_seconds
        except Exception as error:  # noqa: BLE001 - a film costs itself alone
            for number in sorted(left):
                yield number, error, attempts, 0.0, 0.0


def _work(
    error: Exception | None, step: str, attempts: int, seconds: float | None, cpu_seconds: float | None
) -> dict[str, Any]:
    """How a step went, as columns of its part."""
    went = {"status": "ok", "stage": step} if error is None else outcome(error, step)
    if isinstance(error, InputFailed) and error.error_type in (DIED, TIMED_OUT):
        went["reason"] = f"{error.cause} ({error.remedy})"
    return went | {
        "attempts": attempts, "seconds": seconds, "cpu_seconds": cpu_seconds,
        "created": datetime.datetime.now(datetime.UTC),
    }  # fmt: skip
