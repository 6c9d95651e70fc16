"""What only all clips of a dataset together can tell: which are near-identical, who is the same person, which split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.errors import InputRejected, outcome
from storage.step_parts import OUTCOME
from tasks.config import Config
from tasks.duplicates import find_duplicates
from tasks.people import cluster_speakers, speaker_sources
from tasks.splits import plan_splits

NEEDED = (
    "clip_id", "source_id", "track_id", "start_s", "end_s", "num_frames", "status", "speaker", "speaker_source",
    "identity", "split", "fingerprint", "face_px", "blur",
)  # fmt: skip
"""What is asked of every clip that passed its gates."""

CURATED = ("split", "speaker", "speaker_source", *OUTCOME, "duplicate_of", "duplicate_similarity")
"""What all clips together decide of one."""


@dataclass
class Curation:
    """duplicates: clip_id → (the clip that is kept, likeness); speakers, sources of their names, by clip_id; splits:
    by source_id; moved: source_id → (split before, split now)."""

    duplicates: dict[str, tuple[str, float]] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    speaker_sources: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)

    def columns(self, clip: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a CLIPS row that this decides."""
        name = clip["clip_id"]
        found: dict[str, Any] = {"split": self.splits.get(clip["source_id"], clip.get("split"))}
        if name in self.speakers:
            found |= {"speaker": self.speakers[name], "speaker_source": self.speaker_sources[name]}
        if clip["status"] == "ok" and name in self.duplicates:
            kept, similarity = self.duplicates[name]
            error = InputRejected(
                "duplicates", "duplicate_similarity", similarity, None, reason=f"nearly the same as clip {kept}"
            )
            found |= {column: outcome(error)[column] for column in OUTCOME}
            found |= {"duplicate_of": kept, "duplicate_similarity": similarity}
        return found


def curate(clips: Iterable[Mapping[str, Any]], before: Mapping[str, str], config: Config) -> Curation:
    """Judges all clips that passed their gates, whatever their order.

    Args:
        clips: rows with the columns NEEDED.
        before: clip_id → speaker as the version before had it from faces.
    """
    rows = sorted(clips, key=lambda clip: str(clip["clip_id"]))
    duplicates = find_duplicates(rows) if config.preprocess.drop_duplicates else {}
    rows = [row for row in rows if row["clip_id"] not in duplicates]
    speakers = cluster_speakers(rows, config.people.same_speaker, before)
    sources = speaker_sources(rows, speakers)
    named = [
        {**row, "speaker": speakers.get(row["clip_id"]), "speaker_source": sources.get(row["clip_id"])} for row in rows
    ]
    plan = plan_splits(named, config.preprocess.splits, config.tracks.same_person)
    return Curation(duplicates, speakers, sources, plan.of, plan.moved)
