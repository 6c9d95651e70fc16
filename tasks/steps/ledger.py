"""The ledger of a run: what was done to every clip at every step, as STEPS rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from storage.ids import code_revision, content_id
from storage.schema import STEPS, row
from storage.step_parts import WORK
from tasks.assembly import Built
from tasks.config import Config
from tasks.steps.store import VERDICTS, Store
from tasks.steps.tally import Tally
from tasks.steps.walk import FILM


def ledger_rows(built: Built, config: Config, run_id: str, fresh: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """STEPS rows of the sources that this run did something to: each of their clips at each step.

    Args:
        fresh: source_ids whose rows nobody has written down, because the run that did the work was killed.
    """
    store = Store.of(config)
    made = {"run_id": run_id, "config_hash": config.hash(), "code_revision": code_revision()}
    for item in built.items:
        wanted = item.key in built.done or item.source_id in fresh
        verdict = store.part(VERDICTS, item.key) if wanted else None
        if verdict is None:
            continue
        naming = built.namings[item.source_id]
        about = made | {
            "dataset": naming.dataset, "source_id": item.source_id, "source_uri": item.source.uri,
        }  # fmt: skip
        names: dict[int, str] = {}
        for step, key in verdict.facts["keys"].items():
            part = store.part(step, key)
            if part is None:
                continue
            if not names:
                places = part.light(("track_id", "start_s", "end_s"))
                names = {
                    clip: naming.clip_id(place["track_id"], place["start_s"], place["end_s"])
                    for clip, place in places.items() if clip != FILM
                }  # fmt: skip
            for clip in part.clips:
                work = part.work(clip) or {}
                if work.get("seconds") is None:
                    continue  # the film's row tells of all its clips
                name = None if clip == FILM else names[clip]
                own = {column: work[column] for column in WORK if column != "stage"} | {"stage": step}
                yield row(
                    STEPS, step_id=content_id("step", name or naming.clip_id("film"), step), clip_id=name, step=step,
                    key=key, **about, **own,
                )  # fmt: skip


def step_table(steps: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """What a run did at each step, in order: clips done now, kept from before, failed; seconds and CPU seconds."""
    return [
        {
            "step": name, "done": tally.done, "kept": tally.kept, "failed": tally.failed,
            "seconds": round(tally.seconds, 3), "cpu_seconds": round(tally.cpu_seconds, 3),
        }
        for name, tally in steps.items()
    ]  # fmt: skip
