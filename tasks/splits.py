"""Train, val and test: by person, so that nobody who is trained on is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.people import cluster_speakers

SPLITS = ("train", "val", "test")
_PERSON = ("source_id", "track_id", "start_s", "end_s", "speaker", "speaker_source", "identity")


PRECEDENCE = ("train", "val", "test")
"""Which split two groups get that were fixed apart and turn out to be one person: what was trained on stays training
data, for no test may show it; what was chosen by does not become a test."""


@dataclass(frozen=True)
class SplitPlan:
    """of: source_id → split. moved: source_id → (split given, split now), where one person had two splits."""

    of: dict[str, str]
    moved: dict[str, tuple[str, str]]


def assign_splits(
    clips: Iterable[Mapping[str, Any]], shares: tuple[float, float, float], same_person: float
) -> dict[str, str]:
    """source_id → split, for all sources that have clips; see `plan_splits`."""
    return plan_splits(clips, shares, same_person).of


def plan_splits(
    clips: Iterable[Mapping[str, Any]], shares: tuple[float, float, float], same_person: float
) -> SplitPlan:
    """Splits by person.

    Sources that share a speaker stay together; clips without one are grouped by their faces
    (`tasks.people.cluster_speakers`). A group's place follows from a hash of its first source, so that a dataset that
    grows keeps its splits. Where a new clip joins two groups that an earlier version put into different splits, all of
    them go where PRECEDENCE says, and `moved` tells which sources that changes. Where chance leaves val or test empty
    though there are three groups or more, the group next in line goes there; train is never empty, however few there
    are: one person's footage is there to be trained on.

    Args:
        clips: rows with source_id, speaker, identity (unit vector or None) and split (kept where a corpus or an earlier
            version gives it); where known clip_id, track_id, start_s, end_s, speaker_source.
        shares: of train, val and test; they need not add up to 1.
        same_person: least average cosine of faces that might be one person. Lower than what names speakers
            (`people.same_speaker`): two people in one split do no harm, one person in two does.
    """
    groups = _Groups()
    given: dict[str, str] = {}
    entries = []
    for number, clip in enumerate(clips):
        source = str(clip["source_id"])
        groups.add(source)
        if clip.get("split"):
            said = str(clip["split"])
            given[source] = min(said, given.get(source, said), key=_precedence)
        light = {name: clip.get(name) for name in _PERSON}
        entries.append(light | {"clip_id": clip.get("clip_id") or f"{source}/{number}"})
    speakers = cluster_speakers(entries, same_person)
    owners: dict[str, str] = {}
    for entry in entries:
        for speaker in {speakers.get(str(entry["clip_id"])), entry["speaker"] or None} - {None}:
            groups.join(str(entry["source_id"]), owners.setdefault(str(speaker), str(entry["source_id"])))
    placed = _place(groups, given, shares)
    moved = {source: (said, placed[source]) for source, said in given.items() if placed[source] != said}
    return SplitPlan(placed, moved)


def _precedence(split: str) -> int:
    return PRECEDENCE.index(split) if split in PRECEDENCE else len(PRECEDENCE)


def _place(groups: _Groups, given: Mapping[str, str], shares: tuple[float, float, float]) -> dict[str, str]:
    total = sum(shares) or 1.0
    edges = np.cumsum(shares) / total
    members = groups.members()
    split_of: dict[str, str] = {}
    free = []
    for first, sources in members.items():
        said = [given[source] for source in sources if source in given]
        if said:
            split_of[first] = min(said, key=_precedence)
        else:
            free.append((_share(first), first))
            split_of[first] = SPLITS[min(int(np.searchsorted(edges, _share(first), side="right")), 2)]
    if len(members) >= 3:
        line = [first for _, first in sorted(free, reverse=True)]
        for wanted, share in zip(reversed(SPLITS), reversed(shares), strict=True):
            present = list(split_of.values())
            if share > 0 and wanted not in present:
                # From where there are most, and there the one nearest to the end of the line.
                spare = [first for first in line if present.count(split_of[first]) > 1]
                spare.sort(key=lambda first: -present.count(split_of[first]))
                split_of.update(dict.fromkeys(spare[:1], wanted))
    elif shares[0] > 0 and free and "train" not in split_of.values():
        split_of[min(free)[1]] = "train"
    return {source: split_of[first] for first, sources in members.items() for source in sources}


def _share(source_id: str) -> float:
    digest = hashlib.blake2b(source_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class _Groups:
    """Disjoint sets of source ids (union-find); a set is named by its smallest member."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def add(self, source: str) -> None:
        self._parent.setdefault(source, source)

    def root(self, source: str) -> str:
        while self._parent[source] != source:
            self._parent[source] = self._parent[self._parent[source]]
            source = self._parent[source]
        return source

    def join(self, one: str, other: str) -> None:
        a, b = self.root(one), self.root(other)
        self._parent[max(a, b)] = min(a, b)

    def members(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for source in sorted(self._parent):
            found.setdefault(self.root(source), []).append(source)
        return found
