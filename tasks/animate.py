"""A portrait that speaks: one picture and a track become a video, with the same model that dubs."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces import Face
from models.landmarks106 import CONTOUR
from storage import media
from storage.atomic import clear_partials
from storage.errors import InputRejected
from storage.ids import file_sha256
from storage.layout import Root
from storage.provenance import stamp
from storage.schema import RENDERS, row
from tasks import crops
from tasks.alignments import STUDIO, face_matrix
from tasks.analysis import Progress
from tasks.compose import face_alpha, match_colour, paste, paste_alpha
from tasks.config import Config
from tasks.consent import check_face, load_consent
from tasks.dubber import Dubber, render_key
from tasks.dubbing.delivery import deliver, judged
from tasks.dubbing.finishing import emotion_columns, provenance_facts
from tasks.dubbing.place import Place
from tasks.dubbing.rendering import window_renderer
from tasks.measure import Measured, measured_lips
from tasks.moods import Moods
from tasks.portraits import read_portrait
from tasks.quality_gate import render_columns
from tasks.sealing import render_seal
from tasks.voice import VoiceTrack
from tasks.windows import WindowRenderer

_PEAK = 255.0**2
_MEASURED_S = 8.0


def animate_image(
    image: str | os.PathLike[str],
    audio: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config,
    models: Dubber,
    emotion: str | None = None,
    *,
    intensity: float | None = None,
    render_id: str | None = None,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes `out` (whole or not at all), as long as the track, and returns its RENDERS row.

    The largest face speaks, with an emotion that may change (`tasks.moods`). The picture is shrunk where its longer
    side exceeds `render.max_portrait_px`. What the quality gate does not let pass (sync, identity, the picture beside
    the face; flicker and seam are ratios to moving footage, which there is none of) goes into the folder `review`.

    Raises:
        InputRejected: no face in the picture, no sound in `audio`, or this face may not be animated.
        InputFailed: the picture or the track cannot be read.
    """
    started = time.perf_counter()
    asked = Moods.read(emotion, intensity)
    still = read_portrait(image, config.render.max_portrait_px)
    sound = media.probe(audio, need_video=False, need_audio=True)
    face = _largest_face(image, still, config, models)
    fps = config.render.fps
    count = max(1, math.ceil((sound.start_s + sound.duration_s) * fps - 1e-6))
    digests = (file_sha256(image), file_sha256(audio))
    check_face(image, face.embedding, load_consent(config, models.experts.faces))
    key = render_id or render_key(*digests, config, models.model_id, asked.key)
    unjudged = Place(Root(config.root), key).output(Path(out).suffix)
    clear_partials(unjudged)
    facts = provenance_facts(key, *digests, config, models)
    voice = models.hear(audio)
    size = int(models.pipeline.config.crop_size)
    alignment = models.pipeline.base.alignment
    matrix = face_matrix(alignment, size, face)
    original = crops.warp(still, matrix, size)
    outline = crops.transform_points(matrix, face.landmarks[list(CONTOUR)])
    moods = asked.resolved(audio, models.experts)
    whole = bool(models.pipeline.config.whole_face and moods.texts)  # without an emotion the eyes stay as they are
    renderer = window_renderer(
        size, lambda times: original, face.embedding, config.render.seed, voice, config, models, moods,
        whole,
    )  # fmt: skip
    alpha = paste_alpha(size, config.render.feather, whole, alignment)
    share = alpha * face_alpha(outline, size, whole, alignment)
    averaged = alignment != STUDIO
    frames = _frames(still, matrix, original, (alpha, share), renderer, count, config, progress, averaged)
    seal = render_seal(config, facts, image, [audio], "animate")
    media.write_video(
        unjudged, frames, fps, os.fspath(audio), metadata=stamp(facts), crf=config.render.crf,
        threads=config.runtime.threads, seal=seal.seal if seal else None,
    )  # fmt: skip
    box = crops.crop_box(matrix, size, still.shape[1], still.shape[0])
    measured = _measure(unjudged, still, face, box, voice, models)
    made = row(
        RENDERS, **facts, **render_columns(measured, config.gate), run_id=run_id, input_uri=os.fspath(image),
        audio_uri=os.fspath(audio), output_uri=os.fspath(out), status="ok", stage="animate", frames=count, fps=fps,
        duration_s=count / fps, width=still.shape[1], height=still.shape[0], faces=1, windows=renderer.windows,
        seconds=time.perf_counter() - started, attempts=1, created=datetime.datetime.now(datetime.UTC),
        **emotion_columns(moods, count / fps, models.experts),
    )  # fmt: skip
    made = judged(made, config.gate, os.fspath(out), "animate")
    deliver(unjudged, Path(made["output_uri"]))
    return made


def _largest_face(path: str | os.PathLike[str], still: NDArray[np.uint8], config: Config, models: Dubber) -> Face:
    faces = models.experts.faces.detect(still)
    face = max(faces, key=lambda found: found.size, default=None)
    if face is None:
        raise InputRejected(
            "faces", "faces", 0, 1, "", "give a portrait, or lower faces.det_thresh", path=os.fspath(path),
            reason="no face found",
        )  # fmt: skip
    if face.size < config.render.min_face_px:
        raise InputRejected(
            "faces", "face_px", face.size, config.render.min_face_px, "px", "give a larger picture",
            path=os.fspath(path),
        )  # fmt: skip
    return face


def _frames(
    still: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    original: NDArray[np.uint8],
    alphas: tuple[NDArray[np.float32], NDArray[np.float32]],
    renderer: WindowRenderer,
    count: int,
    config: Config,
    progress: Progress | None,
    averaged: bool,
) -> Iterator[NDArray[np.uint8]]:
    """The video's frames in order; one window of crops is in memory. `original` is the portrait's aligned crop,
    `alphas` [S,S] how much of a repainted crop could show, and how much does; `averaged` as `compose.paste` has it.
    """
    alpha, share = alphas
    for index in range(count):
        final = renderer.push(index, original, index / config.render.fps)
        if index + 1 == count:
            final = final + renderer.finish()
        for number, made in final:
            frame = still.copy()
            matched = match_colour(made, original, alpha, config.render.colour_match)
            paste(frame, matched, matrix, share, averaged)
            if progress is not None and number % 25 == 0:
                progress(number, count)
            yield frame


def _measure(
    out: str | os.PathLike[str],
    still: NDArray[np.uint8],
    face: Face,
    box: tuple[int, int, int, int],
    voice: VoiceTrack,
    models: Dubber,
) -> Measured:
    """Sync, identity and PSNR outside the face's box, of the output's first seconds as decoded; the picture counts in
    the colour sampling of the output."""
    matrix, (x0, y0, x1, y1) = crops.crop_matrix(face.kps), box
    pictures, times, cosines, squares, count = [], [], [], 0.0, 0
    outside, held = np.ones(still.shape[:2], dtype=bool), media.as_held(still)
    outside[y0:y1, x0:x1] = False
    for index, pts_s, frame in media.iter_frames(out, end_s=_MEASURED_S):
        pictures.append(crops.warp(frame, matrix))
        times.append(pts_s)
        if index % 25 == 0:
            apart = frame[outside].astype(np.float64) - held[outside]
            squares, count = squares + float(np.square(apart).sum()), count + apart.size
            embedding = models.experts.faces.embed(frame, face.kps)
            if embedding is not None and face.embedding is not None:
                cosines.append(float(embedding @ face.embedding))
    lips = measured_lips(np.stack(pictures), np.array(times, dtype=np.float64), voice, models.experts)
    return Measured(
        sync_after=lips.confidence if lips else None,
        sync_offset=lips.offset_frames if lips else None,
        outside_psnr_db=float(10 * np.log10(_PEAK / max(squares / count, 1e-9))) if count else None,
        identity_cosine=float(np.mean(cosines)) if cosines else None,
        identity=face.embedding,
    )
