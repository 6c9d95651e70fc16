"""What a source came to in the end, and the CLIPS rows that follow from it."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from storage.errors import InputRejected, outcome
from storage.ids import code_revision, content_id
from storage.schema import CLIPS, SOURCES, light, row
from storage.step_fields import step_fields
from storage.step_parts import OUTCOME, StepPart, joined_row, written_part
from tasks.config import Config
from tasks.sources import Source
from tasks.steps.store import VERDICTS, Store
from tasks.steps.walk import Walk

SETTLED = ("sync_correction", "sync_residual", "speaking", "speaking_share")
"""Columns that gates settle."""
VERSION = 1
_TIMES = ("created",)
_BESIDE = frozenset(("fingerprint",))
"""Heavy columns that are needed at hand; they are read again where a row is written."""
_AT_HAND = frozenset(light(CLIPS).names) | _BESIDE


def verdict_key(source: Source, picture: str, keys: Mapping[str, str], config: Config) -> str:
    """Key of a source's verdict: its steps, the thresholds, and what its corpus says."""
    said = {name: value for name, value in asdict(source).items() if name not in ("uri", "audio", "split", "refused")}
    limits = config.model_dump(mode="json")["preprocess"]
    return content_id("verdict", VERSION, picture, dict(keys), limits, said)


def write_verdict(
    store: Store, key: str, source_row: dict[str, Any], walk: Walk | None, config: Config
) -> dict[str, Any]:
    """Keeps what a source came to; returns its SOURCES row, complete.

    Args:
        source_row: of `probe_source`; it decides alone where the file cannot be used (walk is None).
    """
    film, facts = None, {}
    if walk is None:
        film = {name: source_row[name] for name in OUTCOME}
    else:
        facts, film = walk.facts, walk.film
        if film is None and not walk.verdicts:
            film = {
                name: value for name, value in outcome(
                    _nobody(facts, config.preprocess.min_face_ratio, walk.source.uri)
                ).items() if name in OUTCOME
            }  # fmt: skip
    verdicts = {} if walk is None or film is not None else walk.verdicts
    lost = [outcome_of(dropped) for dropped in facts.get("dropped", ())] if film is None else []
    everything = [film] if film is not None else [*verdicts.values(), *lost]
    source_row = source_row | tally_of(source_row, everything)
    with written_part(store.path(VERDICTS, key), step_fields(SETTLED)) as writer:
        for number, verdict in sorted(verdicts.items()):
            writer.write(number, verdict, walk.decided.get(number, {}) if walk is not None else {})
        writer.facts = {
            "source": source_row, "film": film, "frames": facts.get("frames"),
            "dropped": facts.get("dropped", []) if film is None else [],
            "keys": dict(walk.keys) if walk is not None else {},
        }  # fmt: skip
    return source_row


def outcome_of(dropped: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict on a track that was dropped (`tasks.tracks.Dropped` as a dict)."""
    error = InputRejected("tracks", dropped["measure"], dropped["value"], dropped["threshold"], dropped["unit"])
    return {name: outcome(error)[name] for name in OUTCOME}


def source_row_of(verdict: StepPart, source: Source, source_id: str, dataset: str) -> dict[str, Any]:
    """The SOURCES row of a verdict, which may have been made under another name or for another dataset."""
    kept = dict(verdict.facts["source"])
    for name in _TIMES:
        if isinstance(kept.get(name), str):
            kept[name] = datetime.datetime.fromisoformat(kept[name])
    return row(SOURCES, **(kept | {"source_id": source_id, "uri": source.uri, "dataset": dataset}))


@dataclass(frozen=True)
class Naming:
    """What the rows of one source are called: dataset, source_id, picture_id, and a salt where another source of the
    dataset has the same picture under other sound."""

    dataset: str
    source_id: str
    picture_id: str
    salt: str = ""

    def clip_id(self, *place: Any) -> str:
        """Id of a clip by its place in the picture: the same for new sound, other settings, another caption."""
        return content_id("clip", self.dataset, self.picture_id, self.salt, *place)


@dataclass
class ClipRow:
    """A CLIPS row on its way into a dataset: its light columns, which may still be changed, and where the rest lies."""

    values: dict[str, Any]
    number: int = -1
    parts: Sequence[StepPart] = ()

    def table(self) -> Any:
        """The whole row as an Arrow table; a clip that is left out comes without pictures and sound."""
        kept = self.values["status"] == "ok"
        given = {name: value for name, value in self.values.items() if name not in _BESIDE}
        return joined_row(CLIPS, given, self.parts, self.number, heavy=kept)


def clip_rows(verdict: StepPart, store: Store, source: Source, naming: Naming, config: Config) -> Iterator[ClipRow]:
    """The CLIPS rows of a source, in order: its clips, then the tracks that were dropped; or one for the whole film."""
    base: dict[str, Any] = {
        "dataset": naming.dataset, "source_id": naming.source_id, "picture_id": naming.picture_id,
        "source_uri": source.uri, "speaker": source.speaker, "speaker_source": "label" if source.speaker else None,
        "licence": source.licence, "consent": source.consent, "split": source.split, "config_hash": config.hash(),
        "code_revision": code_revision(),
    }  # fmt: skip
    facts = verdict.facts
    if facts["film"] is not None:
        yield ClipRow(base | facts["film"] | {"clip_id": naming.clip_id("film"), "num_frames": facts["frames"]})
        return
    parts = [part for name, key in facts["keys"].items() if (part := store.part(name, key)) is not None]
    at_hand: dict[int, dict[str, Any]] = {number: {} for number in verdict.clips}
    for part in [*parts, verdict]:
        for number, values in part.light([name for name in part.columns if name in _AT_HAND]).items():
            if number in at_hand:
                at_hand[number] |= values
    for number, values in at_hand.items():
        own = {name: (verdict.work(number) or {})[name] for name in OUTCOME}
        own["clip_id"] = naming.clip_id(values["track_id"], values["start_s"], values["end_s"])
        yield ClipRow(base | values | own, number, [*parts, verdict])
    for dropped in facts["dropped"]:
        place = {
            "clip_id": naming.clip_id("dropped", dropped["number"]), "track_id": dropped["number"],
            "start_s": dropped["start_s"], "end_s": dropped["end_s"], "num_frames": dropped["frames"],
        }  # fmt: skip
        yield ClipRow(base | outcome_of(dropped) | place)


def tally_of(source_row: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of a SOURCES row that its clips' verdicts decide."""
    kept = sum(verdict["status"] == "ok" for verdict in verdicts)
    found: dict[str, Any] = {"clips_ok": kept, "clips_rejected": len(verdicts) - kept}
    return found | (_none_passed(verdicts) if source_row["status"] == "ok" and not kept else {})


def _none_passed(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The verdict on a source of which no clip was kept: that of its clip, or a summary of many."""
    if len(verdicts) == 1:
        return {name: verdicts[0][name] for name in OUTCOME}
    stages = Counter(str(verdict["stage"]) for verdict in verdicts).most_common()
    where = ", ".join(f"{count} at {stage}" for stage, count in stages)
    return {
        "status": "rejected", "stage": "clips", "measure": "clips_ok", "value": 0.0, "threshold": 1.0,
        "reason": f"none of its {len(verdicts)} clips passed: {where}; each has its own row",
    }  # fmt: skip


def _nobody(facts: Mapping[str, Any], min_face_ratio: float, path: str) -> InputRejected:
    """The verdict on a film without a face that stays."""
    flashes = len(facts.get("dropped", ()))
    reason = "no face found in any frame" if not flashes else f"no face that stays: {flashes} for a moment only"
    return InputRejected(
        "faces", "face_ratio", 0.0, min_face_ratio, "", "give footage with a face, or lower faces.det_thresh",
        path=path, reason=reason,
    )  # fmt: skip
