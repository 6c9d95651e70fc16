"""The look: one pass over the picture that finds faces, and what of them a dub will change. Numbers only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from storage import media
from storage.errors import InputRejected
from storage.ids import content_id
from tasks.alignments import track_matrices
from tasks.analysis import Analysis, analyse
from tasks.config import Config
from tasks.consent import load_consent, refused, segments_allowed
from tasks.dubber import Dubber
from tasks.dubbing.place import Place
from tasks.dubbing.saved import (
    DubPlan,
    Faces,
    load_analysis,
    load_original,
    load_plan,
    save_analysis,
    save_original,
    save_plan,
)
from tasks.dubbing.spent import LOOK, Stopwatch, note
from tasks.experts import experts_version
from tasks.moods import Moods
from tasks.original_speech import Original, who_spoke
from tasks.plan import faces_that_count, plan_dub, references_of

Frames = Callable[[str, int, int], None]
"""Told (what is being done, frames done, frames in all) from time to time."""
PARTS_OF_LOOKS = ("faces", "shots", "tracks")


def look_key(source_sha256: str, config: Config, made_with: Sequence[str] | None = None) -> str:
    """A hash of everything that decides what a look finds.

    Args:
        made_with: `look_settings` of the same configuration, for those who ask for thousands.
    """
    return content_id("look", source_sha256, *(made_with or look_settings(config)))


def look_settings(config: Config) -> tuple[str, str]:
    """What settings and experts give to the keys of all looks."""
    return config.hash(*PARTS_OF_LOOKS), experts_version(config)


def look(
    video: str | os.PathLike[str],
    source_sha256: str,
    place: Place,
    config: Config,
    models: Dubber,
    tracks: Sequence[str | os.PathLike[str]],
    moods: Moods,
    speakers: str | os.PathLike[str] | None = None,
    progress: Frames | None = None,
) -> DubPlan:
    """The plan of a dub: read where it lies already, else made and left in its place, as is what was seen.

    Args:
        tracks: the dub tracks, in the order that `Segment.voice` counts.
        moods: as they were asked for.

    Raises:
        InputRejected: no face that could be dubbed, or none that may be.
        InputFailed: the file breaks in the middle, or the RTTM file cannot be read.
        Busy: another worker looks at this file now.
    """
    found = place.look(look_key(source_sha256, config))
    if place.plan.exists() and found.exists():
        return load_plan(place.plan, load_analysis(found))
    watch = Stopwatch()
    info = media.probe(video)
    if info.video is None:
        raise InputRejected("probe", "video_tracks", 0, 1, path=os.fspath(video), reason="no video track")
    media.check_encodable(video)
    with place.claimed(found.stem):
        if found.exists():
            analysis = load_analysis(found)
        else:
            looking = None if progress is None else partial(progress, "finding faces")
            analysis = analyse(video, info, models.experts.faces, config, progress=looking)
            save_analysis(found, analysis)
            analysis = load_analysis(found)  # what every worker sees, to the last bit
    with place.claimed(f"{place.key}-plan"):
        if not place.plan.exists():
            original = _original(video, info, analysis, place, found.stem, config, models, progress)
            plan = _planned(video, info, analysis, original, place, config, models, tracks, moods, speakers, progress)
            save_plan(place.plan, plan)
            note(place, LOOK, plan.frames, watch.lap())
    return load_plan(place.plan, analysis)


def _original(
    video: str | os.PathLike[str],
    info: media.MediaInfo,
    analysis: Analysis,
    place: Place,
    look: str,
    config: Config,
    models: Dubber,
    progress: Frames | None,
) -> Original | None:
    """Who speaks in the film, which all its languages ask: found out once. None where it cannot be told."""
    faces, expert, limit = faces_that_count(analysis, config), models.experts.sync, config.preprocess.max_sync_offset
    if not faces or expert is None or not info.audio:
        return None
    saved = place.look(content_id(look, config.render.min_face_px, limit))
    with place.claimed(saved.stem):
        if not saved.exists():
            save_original(saved, who_spoke(video, faces, expert, limit, _alive(analysis, progress)))
    return load_original(saved)


def _alive(analysis: Analysis, progress: Frames | None) -> Callable[[], None]:
    """Says that the work gets on, of work that is not counted."""
    count = len(analysis.pts)
    return lambda: None if progress is None else progress("finding faces", count, count)


def _planned(
    video: str | os.PathLike[str],
    info: media.MediaInfo,
    analysis: Analysis,
    original: Original | None,
    place: Place,
    config: Config,
    models: Dubber,
    tracks: Sequence[str | os.PathLike[str]],
    moods: Moods,
    speakers: str | os.PathLike[str] | None,
    progress: Frames | None,
) -> DubPlan:
    count, alive = len(analysis.pts), _alive(analysis, progress)
    faces = models.experts.faces
    segments = plan_dub(
        video, info, analysis, faces, config, speakers, audio=tracks, expert=models.experts.sync, alive=alive,
        original=original,
    )  # fmt: skip
    segments, left_out = segments_allowed(video, segments, faces, load_consent(config, faces))
    if not segments and left_out:
        raise refused(video, left_out)
    if not segments:
        raise InputRejected(
            "faces", "face_ratio", analysis.face_ratio, 0.0, "",
            "give footage with a face, or lower render.min_face_px",
            path=os.fspath(video),
            reason="no face that could be dubbed" if not analysis.tracks else "none of the faces in view speaks",
        )  # fmt: skip
    felt = [moods.resolved(track, models.experts) for track in tracks]
    plan = DubPlan(segments, Faces(place.plan.parent), [], len(analysis.tracks), count, felt)
    plan.remarks = left_out
    size, alignment = int(models.pipeline.config.crop_size), models.pipeline.base.alignment
    known: dict[int, NDArray[np.float32] | None] = {}
    for segment in segments:
        number = segment.track.number
        if number not in known:  # all segments of a track look at the same frames
            alive()
            matrices = track_matrices(alignment, size, segment.track, config.tracks.smooth_s)
            references, identity = references_of(video, segment, size, faces, matrices)
            plan.shown.keep(number, references)
            known[number] = None if identity is None else np.asarray(identity, dtype=np.float32)
        plan.identities.append(known[number])
    return plan
