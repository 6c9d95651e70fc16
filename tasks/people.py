"""Who is the same person: clips without a speaker label are grouped by the likeness of their faces.

Agglomerative clustering with average linkage (UPGMA, Sokal & Michener 1958) over unit face embeddings: the two groups
whose members are most alike on average are joined, as long as that average reaches `people.same_speaker`. In each round
all pairs that are each other's nearest are joined at once, which gives the same groups in a few matrix products. Clips
of one track are one person from the start, faces seen side by side never are, and neither are two labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.config_sections import People

LABEL, FACE = "label", "face"
PREFIX = "face-"
"""Begins the names of people whom no label names."""
_BLOCK = 2048
_FIRM = 1e-5
"""Cosines closer than this are equal: then content decides, so that rounding does not."""


def cluster_speakers(
    rows: Iterable[Mapping[str, Any]],
    same_person: float | None = None,
    before: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """clip_id → speaker, of all rows that have a label or a face; the same whatever the order of the rows.

    A label wins, and names the clips without one that show the same face. Other groups are called ``face-`` and eight
    hex digits of a hash of the clip_id that is hashed smallest, so a group keeps its name when clips come, unless they
    include such a one; with `before` it keeps the name that most of its clips had.

    Args:
        rows: clip_id, speaker, identity (unit vector [D] or None); where known speaker_source ("face": the speaker was
            found here before and is no label), source_id, track_id, start_s, end_s.
        same_person: least average cosine of two groups that are one person; None: that of the configuration.
        before: clip_id → speaker of the version before.
    """
    least = People().same_speaker if same_person is None else same_person
    entries = sorted((dict(entry) for entry in rows), key=lambda entry: str(entry["clip_id"]))
    found = {str(entry["clip_id"]): str(entry["speaker"]) for entry in entries if _label(entry)}
    members, sums = _seeds(entries)
    if not members:
        return found
    counts = np.array([len(group) for group in members], np.float64)
    labelled = np.array([_label(group[0]) is not None for group in members])
    groups = _joined(sums, counts, labelled, _apart(members), least)
    clusters = [[entry for seed in group for entry in members[seed]] for group in groups]
    for name, cluster in _named(clusters, before or {}):
        for entry in cluster:
            found.setdefault(str(entry["clip_id"]), name)
    return found


def speaker_sources(rows: Iterable[Mapping[str, Any]], speakers: Mapping[str, str]) -> dict[str, str]:
    """clip_id → "label" or "face": who says so, of every clip that has a speaker."""
    return {
        str(entry["clip_id"]): LABEL if _label(entry) else FACE for entry in rows if str(entry["clip_id"]) in speakers
    }


def _label(entry: Mapping[str, Any]) -> str | None:
    given = entry.get("speaker")
    return str(given) if given and entry.get("speaker_source") != FACE else None


def _seeds(entries: Sequence[dict[str, Any]]) -> tuple[list[list[dict[str, Any]]], NDArray[np.float32]]:
    """Groups that are one person from the start (a label, a track), in the order of their first clip_id, and the sums
    of their embeddings float32 [G,D].
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        vector = entry.get("identity")
        if vector is None or len(vector) == 0:
            continue
        label, track = _label(entry), entry.get("track_id")
        if label:
            key: tuple[str, ...] = (LABEL, label)
        elif track is not None and entry.get("source_id"):
            key = ("track", str(entry["source_id"]), str(track))
        else:
            key = ("clip", str(entry["clip_id"]))
        groups[key].append(entry)
    members = list(groups.values())
    if not members:
        return [], np.zeros((0, 1), np.float32)
    sums = np.stack([np.sum([_unit(entry["identity"]) for entry in group], axis=0) for group in members])
    return members, sums.astype(np.float32)


def _unit(vector: Any) -> NDArray[np.float64]:
    values = np.asarray(vector, np.float64)
    return values / max(float(np.linalg.norm(values)), 1e-9)


def _apart(members: Sequence[Sequence[Mapping[str, Any]]]) -> set[tuple[int, int]]:
    """Pairs of seeds that are two people because they are in view at the same time."""
    pairs: set[tuple[int, int]] = set()
    spans: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for place, group in enumerate(members):
        for entry in group:
            if entry.get("source_id") and entry.get("start_s") is not None and entry.get("end_s") is not None:
                spans[str(entry["source_id"])].append((float(entry["start_s"]), float(entry["end_s"]), place))
    for seen in spans.values():
        seen.sort()
        for number, (_, end, place) in enumerate(seen):
            for start, _, other in seen[number + 1 :]:
                if start >= end - 1e-3:
                    break
                if other != place:
                    pairs.add((min(place, other), max(place, other)))
    return pairs


def _joined(
    sums: NDArray[np.float32],
    counts: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    apart: set[tuple[int, int]],
    least: float,
) -> list[list[int]]:
    """Seeds grouped: rounds of joining pairs that are each other's nearest, until none is near enough."""
    groups = [[place] for place in range(len(sums))]
    rivals: list[set[int]] = [set() for _ in groups]
    for a, b in apart:
        rivals[a].add(b)
        rivals[b].add(a)
    while len(groups) > 1:
        nearest, likeness = _nearest(np.asarray(sums / counts[:, None], np.float32), labelled, rivals)
        pairs = [
            (place, int(other)) for place, other in enumerate(nearest)
            if place < other and nearest[other] == place and likeness[place] >= least
        ]  # fmt: skip
        if not pairs:
            break
        into = np.arange(len(groups))
        for a, b in pairs:
            into[b] = a
        kept = np.flatnonzero(into == np.arange(len(groups)))
        new = {int(old): place for place, old in enumerate(kept)}
        for a, b in pairs:
            sums[a] += sums[b]
            counts[a] += counts[b]
            labelled[a] |= labelled[b]
            groups[a] += groups[b]
            rivals[a] |= rivals[b]
        sums, counts, labelled = sums[kept], counts[kept], labelled[kept]
        rivals = [{new[int(into[rival])] for rival in rivals[old]} for old in kept]
        groups = [groups[old] for old in kept]
    return groups


def _nearest(
    means: NDArray[np.float32], labelled: NDArray[np.bool_], rivals: Sequence[set[int]]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each group the most alike other one, and how alike they are on average; -1 where all others are rivals.

    A dot product of means is the average over all pairs. Of equals the first counts. Two labels are two people.
    """
    count = len(means)
    nearest, likeness = np.full(count, -1, np.int64), np.full(count, -2.0, np.float32)
    for start in range(0, count, _BLOCK):
        cosines = means[start : start + _BLOCK] @ means.T
        cosines[np.ix_(labelled[start : start + _BLOCK], labelled)] = -2.0
        for row in range(len(cosines)):
            cosines[row, start + row] = -2.0
            if rivals[start + row]:
                cosines[row, list(rivals[start + row])] = -2.0
        best = cosines.max(axis=1)
        nearest[start : start + _BLOCK] = (cosines >= best[:, None] - _FIRM).argmax(axis=1)
        likeness[start : start + _BLOCK] = best
    nearest[likeness <= -1.5] = -1
    return nearest, likeness


def _named(
    clusters: Sequence[Sequence[Mapping[str, Any]]], before: Mapping[str, str]
) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Clusters with their names: their label; what most of their clips were called; else from the content."""
    labels = {str(_label(entry)) for cluster in clusters for entry in cluster if _label(entry)}
    named: list[tuple[str, Sequence[Mapping[str, Any]]]] = []
    claims: list[tuple[int, str, int]] = []
    waiting: dict[int, list[str]] = {}
    for place, cluster in enumerate(clusters):
        label = next((label for entry in cluster if (label := _label(entry))), None)
        if label:
            named.append((label, cluster))
            continue
        waiting[place] = sorted(_digest(str(entry["clip_id"])) for entry in cluster)
        said = Counter(filter(None, (_called(entry, before) for entry in cluster)))
        claims += [(-count, name, place) for name, count in said.items()]
    taken = set(labels)
    for _, name, place in sorted(claims):
        if place in waiting and name not in taken:
            taken.add(name)
            named.append((name, clusters[place]))
            del waiting[place]
    for place, digests in waiting.items():
        name = next((PREFIX + d[:8] for d in digests if PREFIX + d[:8] not in taken), PREFIX + digests[0])
        taken.add(name)
        named.append((name, clusters[place]))
    return named


def _called(entry: Mapping[str, Any], before: Mapping[str, str]) -> str | None:
    if entry.get("speaker_source") == FACE and entry.get("speaker"):
        return str(entry["speaker"])
    name = before.get(str(entry["clip_id"]))
    return name if name and name.startswith(PREFIX) else None


def _digest(clip_id: str) -> str:
    return hashlib.blake2b(clip_id.encode(), digest_size=10).hexdigest()
