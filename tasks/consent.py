"""Who may be animated: the faces of a video held against those of the consent table.

A face on the deny list is never animated, nor is its turn given to anybody else. Where consent is required, only faces
on the allow list are. What cannot be told (no recogniser, no face that could be compared) counts as nobody known.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces import FaceAnalyzer
from storage import media
from storage.atomic import written_aside
from storage.errors import ConfigError, DubwrightError, InputRejected, UsageError
from storage.ids import content_id
from storage.layout import Root
from tasks.analysis import analyse
from tasks.config import Config
from tasks.consent_table import ALLOW, DENY, SEEN, Entry, add_entries, digest_of, read_entries, table_place
from tasks.experts import experts_version, load_faces
from tasks.plan import Segment, frame_at, reference_frames
from tasks.portraits import read_portrait
from tasks.tracks import Track

UNKNOWN = "unknown"
CLEARLY = 0.1
"""A face that is like somebody denied is taken for somebody allowed only where it is nearer to them by this cosine."""
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
_LOOKS = 5
_NOBODY = -2.0


@dataclass(frozen=True)
class Person:
    """Somebody in the table. faces: unit embeddings float32 [N,D], one for each view of them."""

    speaker: str
    allowed: bool
    faces: NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """kind: allow, deny or unknown; speaker: who that is; likeness: cosine to the nearest view of them (of anybody, if
    unknown), None where there was nothing to compare."""

    kind: str
    speaker: str | None = None
    likeness: float | None = None


@dataclass(frozen=True)
class Consent:
    """The table, with faces.

    require: only people whom the table allows are animated; same_person: cosine from which a face is that of a person.
    """

    people: tuple[Person, ...]
    require: bool
    same_person: float

    def verdict(self, faces: NDArray[np.float32] | None) -> Verdict:
        """Who is shown.

        Args:
            faces: unit embeddings [D] or [N,D], views of one face; None: it could not be recognised.
        """
        if faces is None or faces.size == 0:
            return Verdict(UNKNOWN)
        views = np.atleast_2d(faces)
        nearest: dict[bool, tuple[float, str | None]] = {True: (_NOBODY, None), False: (_NOBODY, None)}
        for person in self.people:
            likeness = float((views @ person.faces.T).max())
            if likeness > nearest[person.allowed][0]:
                nearest[person.allowed] = (likeness, person.speaker)
        (allowed, friend), (denied, other) = nearest[True], nearest[False]
        if denied >= self.same_person and allowed < denied + CLEARLY:
            return Verdict(DENY, other, denied)
        if allowed >= self.same_person:
            return Verdict(ALLOW, friend, allowed)
        return Verdict(UNKNOWN, None, max(allowed, denied) if self.people else None)

    def animates(self, verdict: Verdict) -> bool:
        """Whether such a face may be animated."""
        return verdict.kind == ALLOW or (verdict.kind == UNKNOWN and not self.require)


def load_consent(config: Config, analyzer: FaceAnalyzer) -> Consent | None:
    """The consent table in force; None where there is none and none is required.

    Faces once seen are kept in ROOT/cache/consent.

    Raises:
        ConfigError: the table cannot be read, a picture is missing or does not show one face, the face pack has no
            recogniser, or consent is required and there is no table. Nothing is animated on a guess.
    """
    place = table_place(config)
    if place is None:
        if config.consent.require:
            raise ConfigError("consent is required, and there is no consent table", "see `dubwright consent add`")
        return None
    _check_recogniser(analyzer, str(place), config)
    people = []
    for speaker, group in groupby(sorted(read_entries(place), key=lambda entry: entry.speaker), lambda e: e.speaker):
        entries = list(group)
        faces = [_faces_of(entry, place, config, analyzer) for entry in entries]
        people.append(Person(speaker, entries[0].consent == ALLOW, np.concatenate(faces)))
    return Consent(tuple(people), config.consent.require, config.consent.same_person)


def faces_in(source: str | os.PathLike[str], config: Config, analyzer: FaceAnalyzer) -> NDArray[np.float32]:
    """Unit embeddings [N,D] of the one person in a picture or video: one view, or up to five from all over.

    Raises:
        InputRejected: there is no face, or there are several people.
        InputFailed: it cannot be read.
    """
    place = os.fspath(source)
    if Path(place).suffix.lower() in _PICTURES:
        frames = [read_portrait(place, config.render.max_portrait_px)]
    else:
        times = media.frame_times(place)
        looks = np.unique(np.linspace(0, len(times) - 1, _LOOKS + 2)[1:-1].astype(int))
        frames = [frame_at(place, float(times[at])) for at in looks]
    views = []
    for frame in frames:
        faces = sorted(analyzer.detect(frame), key=lambda face: -face.size)
        if len(faces) > 1 and faces[1].size > faces[0].size / 2:
            raise InputRejected(
                "consent", "faces", len(faces), 1, remedy="give a picture of this person alone", path=place,
                reason=f"{len(faces)} faces are in it",
            )  # fmt: skip
        if faces and faces[0].embedding is not None:
            views.append(faces[0].embedding)
    if not views:
        raise InputRejected(
            "consent", "faces", 0, 1, remedy="give a picture with a face", path=place, reason="no face found"
        )
    return np.stack(views)


def add_person(config: Config, speaker: str, allowed: bool, sources: Sequence[Path]) -> None:
    """Put somebody into ROOT/consent.csv, once it is certain that these pictures show one face each.

    Raises:
        UsageError: a file is not there, or the table in force is not kept by dubwright.
        InputRejected, InputFailed: a picture shows no face or several, or cannot be read.
        ConfigError: the face pack has no recogniser.
    """
    analyzer = load_faces(config)
    _check_recogniser(analyzer, speaker, config)
    for source in sources:
        if not source.is_file():
            raise UsageError(f"{source}: no such file", "check the path")
        faces_in(source, config, analyzer)
    add_entries(config, speaker, ALLOW if allowed else DENY, sources)


def faces_checked(source: Path, config: Config) -> list[dict[str, Any]]:
    """A row for every face of a picture, every track of a video: input, face (its number), consent (allow, deny,
    unknown), speaker, likeness, animated (whether it may be).

    Raises:
        UsageError: there is no such file. ConfigError: as `load_consent`. InputFailed: it cannot be read.
    """
    if not source.is_file():
        raise UsageError(f"{source}: no such file", "check the path")
    analyzer = load_faces(config)
    _check_recogniser(analyzer, str(source), config)
    consent = load_consent(config, analyzer) or Consent((), False, config.consent.same_person)
    if source.suffix.lower() in _PICTURES:
        found = analyzer.detect(read_portrait(source, config.render.max_portrait_px))
        views = [face.embedding for face in sorted(found, key=lambda face: float(face.bbox[0]))]
    else:
        tracks = analyse(source, media.probe(source), analyzer, config).tracks
        views = [_views(source, track, reference_frames(track, _LOOKS), analyzer) for track in tracks]
    verdicts = [consent.verdict(faces) for faces in views]
    return [
        {
            "input": str(source), "face": number, "consent": verdict.kind, "speaker": verdict.speaker,
            "likeness": verdict.likeness, "animated": consent.animates(verdict),
        }
        for number, verdict in enumerate(verdicts)
    ]  # fmt: skip


def segments_allowed(
    path: str | os.PathLike[str], segments: Sequence[Segment], analyzer: FaceAnalyzer, consent: Consent | None
) -> tuple[list[Segment], list[str]]:
    """What may be dubbed of a plan, and why the rest may not, one sentence for each person left out.

    A denied face keeps its turns to itself: they stay as they were filmed. Each track is looked at in its reference
    frames (`Segment.references`), so that one bad view does not decide.

    Raises:
        InputFailed: the file cannot be read at that place any more.
    """
    if consent is None:
        return list(segments), []
    tracks = {segment.track.number: segment for segment in segments}
    out: dict[str | None, list[tuple[Verdict, float]]] = {}
    refused_tracks = set()
    for number, segment in sorted(tracks.items()):
        verdict = consent.verdict(_views(path, segment.track, segment.references, analyzer))
        if not consent.animates(verdict):
            refused_tracks.add(number)
            out.setdefault(verdict.speaker, []).append((verdict, float(segment.track.pts[0])))
    reasons = []
    for found in out.values():
        verdict, start_s = found[0]
        more = f" and {len(found) - 1} times later" if len(found) > 1 else ""
        reasons.append(reason_of(verdict, f"the face at {start_s:.1f} s{more}"))
    return [segment for segment in segments if segment.track.number not in refused_tracks], reasons


def check_face(
    path: str | os.PathLike[str], embedding: NDArray[np.float32] | None, consent: Consent | None
) -> Verdict | None:
    """Of the one face of a portrait.

    Raises:
        InputRejected: it may not be animated.
    """
    if consent is None:
        return None
    verdict = consent.verdict(embedding)
    if not consent.animates(verdict):
        raise refused(path, [reason_of(verdict, "the face")])
    return verdict


def refused(path: str | os.PathLike[str], reasons: Sequence[str]) -> InputRejected:
    """The error of an input of which nothing may be animated."""
    return InputRejected(
        "consent", "faces_allowed", 0, 1, remedy="see `dubwright consent list`", path=os.fspath(path),
        reason="; ".join(reasons),
    )  # fmt: skip


def reason_of(verdict: Verdict, who: str) -> str:
    """Why a face is left as it is."""
    if verdict.kind == DENY:
        return f"{who} is {verdict.speaker}, who denied consent (likeness {verdict.likeness:.2f})"
    if verdict.likeness is None:
        return f"{who} is nobody whom the consent table allows"
    return f"{who} is nobody whom the consent table allows (nearest likeness {verdict.likeness:.2f})"


def _views(
    path: str | os.PathLike[str], track: Track, frames: Sequence[int], analyzer: FaceAnalyzer
) -> NDArray[np.float32] | None:
    """Embeddings [N,D] of a track in these frames of the file."""
    found = []
    for index in frames:
        at = index - track.first
        embedding = analyzer.embed(frame_at(path, float(track.pts[at])), track.kps[at])
        if embedding is not None:
            found.append(embedding)
    return np.stack(found) if found else None


def _check_recogniser(analyzer: FaceAnalyzer, wanted_for: str, config: Config) -> None:
    if "embedding" not in analyzer.gives:
        raise ConfigError(
            f"{wanted_for}: face pack {config.faces.pack} has no recogniser, so nobody can be told by their face",
            "choose a pack with one (--face-pack)",
        )


def _faces_of(entry: Entry, table: Path, config: Config, analyzer: FaceAnalyzer) -> NDArray[np.float32]:
    key = content_id(
        "consent face", digest_of(entry, table), config.hash("faces"), experts_version(config),
        config.render.max_portrait_px,
    )  # fmt: skip
    note = Root(config.root).cache / SEEN / f"{key}.npy"
    if note.is_file():
        return np.asarray(np.load(note), np.float32)
    try:
        faces = faces_in(entry.source, config, analyzer)
    except DubwrightError as error:
        raise ConfigError(f"{table}: row {entry.line} ({entry.speaker}): {error.message}", error.remedy) from error
    with written_aside(note, durable=False) as partial, partial.open("wb") as stream:
        np.save(stream, faces)
    return faces
