"""Train, val and test: by person, so that nobody who is trained on is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")


def assign_splits(
    clips: Iterable[Mapping[str, Any]], shares: tuple[float, float, float], same_person: float
) -> dict[str, str]:
    """source_id → split, for all sources that have clips.

    Sources that share a speaker label or a face stay together. A group's place follows from a hash of its first
    source, so that a dataset that grows keeps its splits (unless a new source joins two groups). Where chance leaves
    val or test empty though there are three groups or more, the group next in line goes there; train is never empty,
    however few there are: one person's footage is there to be trained on.

    Args:
        clips: rows with source_id, speaker, identity (unit vector or None) and split (kept where a corpus gives it).
        shares: of train, val and test; they need not add up to 1.
        same_person: cosine of identities from which two faces are one person.
    """
    groups = _Groups()
    given: dict[str, str] = {}
    faces: list[tuple[NDArray[np.float32], str]] = []
    owners: dict[str, str] = {}
    for clip in clips:
        source = str(clip["source_id"])
        groups.add(source)
        if clip.get("split"):
            given[source] = str(clip["split"])
        label = clip.get("speaker")
        if label:
            groups.join(source, owners.setdefault(str(label), source))
        elif clip.get("identity"):  # a label is surer than a likeness
            vector = np.asarray(clip["identity"], dtype=np.float32)
            known = next((owner for face, owner in faces if float(face @ vector) >= same_person), None)
            if known is None:
                faces.append((vector, source))
            else:
                groups.join(source, known)
    return _place(groups, given, shares)


def _place(groups: _Groups, given: Mapping[str, str], shares: tuple[float, float, float]) -> dict[str, str]:
    total = sum(shares) or 1.0
    edges = np.cumsum(shares) / total
    members = groups.members()
    split_of: dict[str, str] = {}
    free = []
    for first, sources in members.items():
        said = sorted({given[source] for source in sources if source in given})
        if said:
            split_of[first] = said[0]
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
