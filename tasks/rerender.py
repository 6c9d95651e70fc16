"""Dubs that a new champion makes anew: which ones, for how long, and what becomes of those that they replace.

All of it is read from the ledger of the renders, so a night that was killed or ran out of its hours is simply gone on
with: what the present champion has made is no candidate any more. Only dubs by a model that was the champion once are
candidates; one that was made with a model named on purpose stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from storage.catalog import Catalog
from storage.errors import ConfigError
from storage.ids import content_id, file_sha256
from storage.layout import Root
from storage.ledger import Ledger
from storage.signing import SIDECAR
from tasks.config import Config, config_from_json
from tasks.config_nightly import Nightly
from tasks.dubbing.delivery import REVIEW, review_place
from tasks.dubbing.worker import from_json
from tasks.estimate import workers_here
from tasks.jobs import Job
from tasks.library_run import OnRender, dub_many
from tasks.sources import IMAGE_SUFFIXES

_AT_ONCE_S = 900.0
"""Work that is begun together, as long as it took the last time: how often the hours are looked at."""
_AS_IT_WAS = ("faces", "shots", "tracks", "audio", "render", "consent", "gate")
"""Sections of the configuration that a dub is made anew with, as the run had them that made it."""


@dataclass(frozen=True)
class Made:
    """A dub that lies on disk. place: where its file belongs, which is not where it lies if it was kept for review;
    sha256: of its file; at: when it was done, seconds since 1970."""

    job: Job
    kind: str
    row: dict[str, Any]
    place: str
    sha256: str
    at: float

    @property
    def flagged(self) -> bool:
        """Was it kept for review?"""
        return bool(self.row["stage"] == REVIEW)


def standing(root: Root) -> list[Made]:
    """The last dub of every place, the oldest first."""
    return sorted((dubs[-1] for dubs in _by_place(root).values()), key=lambda made: made.at)


def candidates(root: Root, settings: Nightly, model_id: str, champions: Collection[str], tries: int) -> list[Made]:
    """What the policy asks for and the champion `model_id` has not made yet: those kept for review first, the newest
    first.

    Args:
        champions: model_ids of all who ever were it.
        tries: failures of one dub after which a model leaves it.
    """
    made = standing(root)
    if settings.rerender == "none":
        return []
    if settings.rerender == "flagged":
        made = [one for one in made if one.flagged]
    elif settings.rerender == "newest":
        made = made[-settings.newest :]
    given_up = _failures(root, model_id, tries)
    wanted = [
        one for one in made
        if one.row["model_id"] != model_id and one.row["model_id"] in champions and _asked(one.row) not in given_up
    ]  # fmt: skip
    return sorted(wanted, key=lambda one: (not one.flagged, -one.at))


def rerender(
    wanted: Sequence[Made],
    model_folder: str | Path,
    config: Config,
    *,
    model_id: str,
    dataset_id: str | None = None,
    run_id: str | None = None,
    on_row: OnRender | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[dict[str, Any]], int]:
    """RENDERS rows of the dubs made anew in `config.nightly.rerender_hours`, and how many are left for the next night.

    Each is made with the settings of the run that made it before, and goes to its place. What misses the quality gate
    goes to review, and the file that stood at the place stays.
    """
    began, budget = clock(), 3600 * config.nightly.rerender_hours
    rows: list[dict[str, Any]] = []
    for kind, settings, batch in _batches(wanted, config, lambda: budget - (clock() - began)):
        jobs = [one.job for one in batch]
        rows += dub_many(
            jobs, model_folder, settings, kind=kind, model_id=model_id, dataset_id=dataset_id, run_id=run_id,
            on_row=on_row,
        )  # fmt: skip
    return rows, len(wanted) - len(rows)


def settle(root: Root) -> int:
    """Bring the catalog in line with what lies on disk; returns how many rows changed.

    Rows of finished dubs that it lacks (their run was killed) are written; one whose place another dub has taken says
    so in `replaced_by`; and a file that was kept for review goes when its place got a better one.
    """
    catalog = Catalog(root)
    known = {entry["render_id"]: entry.get("replaced_by") for entry in catalog.each("renders", None, _heirs(catalog))}
    changed = []
    for dubs in _by_place(root).values():
        for number, one in enumerate(dubs):
            heir = next((later for later in dubs[number + 1 :] if not later.flagged or one.flagged), None)
            replaced_by = heir.row["render_id"] if heir is not None else None
            id = one.row["render_id"]
            if id not in known or known[id] != replaced_by:
                changed.append(from_json({**one.row, "replaced_by": replaced_by}))
            if heir is not None and one.flagged and not heir.flagged:
                _clear_review(one)
    catalog.upsert("renders", changed)
    return len(changed)


def _heirs(catalog: Catalog) -> tuple[str, ...]:
    """The columns that `settle` reads, as far as the table has them: it gets new ones with the next row."""
    names = catalog.columns("renders").names
    return tuple(name for name in ("render_id", "replaced_by") if name in names)


def _clear_review(one: Made) -> None:
    """Remove a file from the folder for review, if it still is the one that was kept there."""
    kept = review_place(one.place)
    if kept.is_file() and file_sha256(kept) == one.sha256:
        kept.unlink()
        kept.with_suffix(SIDECAR).unlink(missing_ok=True)


def _by_place(root: Root) -> dict[str, list[Made]]:
    """All finished dubs whose files were written, by place, in the order in which they were done."""
    found: dict[str, list[Made]] = {}
    for entry in Ledger(root.renders / "ledger.jsonl").entries():
        row = entry.get("row")
        if row is None or entry["status"] not in ("ok", "rejected") or not row.get("output_uri"):
            continue
        row = {"stage": None, "model_id": None, "replaced_by": None, **row}
        out = Path(row["output_uri"])
        place = str(out.parent.parent / out.name if row["stage"] == REVIEW else out)
        made = Made(_job(entry, place, root), _kind(entry), row, place, entry.get("output_sha256", ""), entry["at"])
        found.setdefault(place, []).append(made)
    return {place: sorted(dubs, key=lambda made: made.at) for place, dubs in found.items()}


def _job(entry: Mapping[str, Any], place: str, root: Root) -> Job:
    """The job as it was asked for; of an entry that does not say, what its row tells. Its output is the place."""
    row, given = entry["row"], entry.get("job")
    if given is None:
        job = Job(row["input_uri"], row["audio_uri"], row.get("emotion"))
    else:
        job = Job(**{**given, "voices": tuple(given["voices"])})
    inside = Path(place).is_relative_to(root.renders)
    return replace(job, output=str(Path(place).relative_to(root.renders)) if inside else place, confined=inside)


def _kind(entry: Mapping[str, Any]) -> str:
    portrait = Path(entry["row"]["input_uri"]).suffix.lower() in IMAGE_SUFFIXES
    return str(entry.get("kind") or ("animate" if portrait else "dub"))


def _asked(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row.get("input_uri"), row.get("audio_uri"), row.get("emotion")


def _failures(root: Root, model_id: str, tries: int) -> set[tuple[Any, ...]]:
    """What this model failed at so often that it is left."""
    ledger = Ledger(root.renders / "ledger.jsonl")
    failed = [entry for entry in ledger.entries() if entry["status"] == "failed" and "row" in entry]
    return {
        _asked(entry["row"]) for entry in failed
        if entry["row"].get("model_id") == model_id and ledger.attempts(entry["id"]) >= tries
    }  # fmt: skip


def _batches(
    wanted: Sequence[Made], config: Config, left_s: Callable[[], float]
) -> Iterator[tuple[str, Config, list[Made]]]:
    """(kind, configuration, dubs) that are begun together, until the time is up.

    How long a dub takes is taken from how long it took before; one that would not come to its end in what is left is
    begun only where it is the first of the night, or it would never be.
    """
    workers, begun = workers_here(config), False
    groups: dict[tuple[str, str], list[Made]] = {}
    settings: dict[str, Config] = {}
    for one in wanted:
        made_with = _settings_of(one, config)
        key = content_id(made_with.model_dump(mode="json", include=set(_AS_IT_WAS)))
        settings[key] = made_with
        groups.setdefault((one.kind, key), []).append(one)
    for (kind, key), waiting in groups.items():
        while waiting and (left := left_s()) > 0:
            batch: list[Made] = []
            work_s = 0.0
            while waiting:
                work_s += (waiting[0].row.get("seconds") or 0.0) / workers
                fits = work_s <= left and (work_s <= _AT_ONCE_S or not batch)
                if not fits and (batch or begun):
                    break
                batch.append(waiting.pop(0))
                begun = True
            if not batch:
                break
            yield kind, settings[key], batch


def _settings_of(one: Made, config: Config) -> Config:
    """The configuration of the run that made it, where and how wide as now; the present one where that is not known."""
    run = Catalog(config.root).get("runs", one.row.get("run_id") or "")
    try:
        before = config_from_json(run["config"]) if run is not None else config
    except ConfigError:  # it has settings that there are no more
        return config
    return config.with_({name: getattr(before, name).model_dump() for name in _AS_IT_WAS})
