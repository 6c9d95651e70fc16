"""Are speakers told apart? Clips of people nobody was trained on, in other light and mood each time, without labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

import numpy as np

from tasks.config import Config
from tasks.exams.acted import acted, person
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.people import FACE, cluster_speakers
from tasks.splits import assign_splits
from tasks.studio.takes import MOODS

PEOPLE, CLIPS, FRAMES = 60, 4, 4
QUICK = (6, 2, 2)
F1_ASKED, PURITY_ASKED = 0.7, 0.9


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """Clusters of clips against who was filmed, and how many people the splits would show on both sides.

    Each clip has a light, a camera, a mood and a pose of its own, and is a source of its own: nothing but the face says
    whose it is.
    """
    people, clips, frames = QUICK if quick else (PEOPLE, CLIPS, FRAMES)
    times = np.linspace(0.0, 1.9, frames)
    rows: list[dict[str, Any]] = []
    for number in range(people):
        for take in range(clips):
            mood = MOODS[(7 * number + 5 * take) % len(MOODS)]
            clip = acted(
                person(seed, 2_000 + number), take, mood, times, experts.faces, seconds=2.0, compiled=not quick
            )
            if clip is None:
                continue
            pairs = zip(clip.frames, clip.kps, strict=True)
            found = [vector for frame, kps in pairs if (vector := experts.faces.embed(frame, kps)) is not None]
            if found:
                mean = np.mean(found, axis=0)
                rows.append({
                    "clip_id": f"{number:04d}-{take}", "source_id": f"{number:04d}-{take}", "truth": number,
                    "identity": mean / max(float(np.linalg.norm(mean)), 1e-9), "speaker": None,
                })  # fmt: skip
    return findings(rows, config)


def findings(rows: list[dict[str, Any]], config: Config) -> list[Finding]:
    """Of rows with `truth`: who is really shown."""
    labels = cluster_speakers(rows, config.people.same_speaker)
    truth = {row["clip_id"]: row["truth"] for row in rows}
    same = {(a, b) for a, b in combinations(sorted(truth), 2) if truth[a] == truth[b]}
    joined = {(a, b) for a, b in combinations(sorted(labels), 2) if labels[a] == labels[b]}
    right = len(same & joined)
    precision, recall = right / max(len(joined), 1), right / max(len(same), 1)
    inside: dict[str, Counter[int]] = defaultdict(Counter)
    for clip_id, label in labels.items():
        inside[label][truth[clip_id]] += 1
    purity = sum(max(count.values()) for count in inside.values()) / max(len(labels), 1)
    people = len(set(truth.values()))
    found = [row | {"speaker": labels.get(row["clip_id"]), "speaker_source": FACE} for row in rows]
    named = [row | {"speaker": str(row["truth"])} for row in rows]
    return [
        Finding("pairwise F1", 2 * precision * recall / max(precision + recall, 1e-9), F1_ASKED, "", cases=len(same),
                note=f"precision {precision:.3f}, recall {recall:.3f}"),
        Finding("purity", purity, PURITY_ASKED, "", cases=len(labels)),
        Finding("clusters a person", len(inside) / max(people, 1), None, "", False, cases=people),
        Finding("speakers in two splits", _torn(found, "speaker", config), 0, "speakers", False, cases=len(inside)),
        Finding("labelled people in two splits", _torn(named, "truth", config), 0, "people", False, cases=people),
        Finding("unlabelled people in two splits", _torn(rows, "truth", config), None, "people", False, cases=people,
                note="every clip a source of its own"),
    ]  # fmt: skip


def _torn(rows: list[dict[str, Any]], key: str, config: Config) -> int:
    """How many values of `key` have clips in more than one split."""
    splits = assign_splits(rows, config.preprocess.splits, config.tracks.same_person)
    shown: dict[Any, set[str]] = defaultdict(set)
    for row in rows:
        shown[row[key]].add(splits[row["source_id"]])
    return sum(len(where) > 1 for where in shown.values())
