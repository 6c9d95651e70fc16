"""Dubbing one video: the face that speaks is made to speak the new track; everything else stays what it was.

Two passes over the picture. The first keeps numbers only (shots, tracks, who speaks), the second streams.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from storage import media
from storage.errors import InputRejected
from storage.ids import code_revision, file_sha256
from storage.provenance import stamp
from storage.schema import RENDERS, row
from tasks.analysis import analyse
from tasks.config import Config
from tasks.dubber import Dubber, render_key
from tasks.experts import Experts
from tasks.feelings import AUTO, emotion_heard
from tasks.measure import Measured, measure_render
from tasks.plan import plan_dub
from tasks.rendering import FaceRenderer
from tasks.voice import RATE

Frames = Callable[[str, int, int], None]
"""Told (what is being done, frames done, frames in all) from time to time."""


def dub_video(
    video: str | os.PathLike[str],
    audio: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config,
    models: Dubber,
    emotion: str | None = None,
    *,
    speakers: str | os.PathLike[str] | None = None,
    render_id: str | None = None,
    run_id: str | None = None,
    progress: Frames | None = None,
) -> dict[str, Any]:
    """Writes `out` (whole or not at all) and returns its RENDERS row, status ok.

    Args:
        audio: the dub track; its zero is put at the timeline's zero.
        emotion: free text; "auto": heard from the track; None or "" keeps the face's own.
        speakers: RTTM file: who speaks when.

    Raises:
        InputRejected: no face that could be dubbed, no sound in `audio`.
        InputFailed: an input is broken.
    """
    started = time.perf_counter()
    info = media.probe(video)
    media.probe(audio, need_video=False, need_audio=True)
    if info.video is None:
        raise InputRejected("probe", "video_tracks", 0, 1, path=os.fspath(video), reason="no video track")
    looking = None if progress is None else partial(progress, "finding faces")
    analysis = analyse(video, info, models.experts.faces, config, progress=looking)
    feeling = resolve_emotion(emotion, audio, models.experts)
    segments = plan_dub(video, info, analysis, models.experts.faces, config, speakers)
    if not segments:
        raise InputRejected(
            "faces", "face_ratio", analysis.face_ratio, 0.0, "",
            "give footage with a face, or lower render.min_face_px",
            path=os.fspath(video), reason="no face that could be dubbed",
        )  # fmt: skip
    digests = (file_sha256(video), file_sha256(audio), file_sha256(speakers) if speakers is not None else None)
    key = render_id or render_key(digests[0], digests[1], config, models.model_id, emotion, digests[2])
    facts = {
        "render_id": key, "model_id": models.model_id, "dataset_id": models.dataset_id, "source_sha256": digests[0],
        "audio_sha256": digests[1], "seed": config.render.seed, "config_hash": config.hash(),
        "code_revision": code_revision(),
    }  # fmt: skip
    voice = models.hear(audio)
    renderer = FaceRenderer(video, segments, voice, config, models, feeling)
    with media.VideoRewriter(
        video, out, audio=os.fspath(audio), metadata=stamp(facts, info.metadata), crf=config.render.crf,
        when_longer=config.render.when_longer, threads=config.runtime.threads,
    ) as rewriter:  # fmt: skip
        for done, changed in renderer.run(rewriter.frames()):
            rewriter.write(done, changed)
            if progress is not None and done % 25 == 0:
                progress("rendering", done, len(analysis.pts))
    measured = measure_render(video, out, rewriter.report.boxes, segments, voice, models.experts)
    return row(
        RENDERS, **facts, **_columns(measured), run_id=run_id, input_uri=os.fspath(video), audio_uri=os.fspath(audio),
        output_uri=os.fspath(out), status="ok", stage="dub", frames=rewriter.report.frames, fps=float(info.video.fps),
        duration_s=info.duration_s, width=info.video.width, height=info.video.height, faces=len(analysis.tracks),
        windows=renderer.windows, seconds=time.perf_counter() - started, attempts=1,
        created=datetime.datetime.now(datetime.UTC), **emotion_columns(feeling, models.experts),
        reason="; ".join(rewriter.report.remarks()) or None,
    )  # fmt: skip


def _columns(measured: Measured) -> dict[str, Any]:
    return {
        "sync_confidence_before": measured.sync_before, "sync_confidence_after": measured.sync_after,
        "outside_psnr_db": measured.outside_psnr_db, "identity_cosine": measured.identity_cosine,
        "identity": measured.identity,
    }  # fmt: skip


def resolve_emotion(emotion: str | None, audio: str | os.PathLike[str], experts: Experts) -> str | None:
    """The emotion as text for the model: "auto" is heard from the first minute of the track, "" and None stay None."""
    if emotion != AUTO:
        return emotion or None
    return emotion_heard(media.read_audio(audio, RATE, 0.0, 60.0), experts)


def emotion_columns(emotion: str | None, experts: Experts) -> dict[str, Any]:
    """What a row says of the emotion asked for: the text as caption, its vector, and which of the eight it means."""
    if not emotion:
        return {}
    found: dict[str, Any] = {"emotion": emotion, "caption": emotion}
    if experts.text is not None:
        found["emotion"] = experts.text.emotion_of(emotion).emotion
        found["caption_embedding"] = experts.text.encode([emotion])[1][0].numpy()
    return found
