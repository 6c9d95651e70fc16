"""Studio clips on disk: their manifest, their truth, and the same as rows of the CLIPS table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.speech import log_mel
from storage import media
from storage.ids import code_revision, content_id
from storage.schema import CLIPS, row
from tasks import crops, masks, quality
from tasks.studio.speech import Phoneme

MANIFEST = "manifest.jsonl"
LICENCE = "Apache-2.0"
CONSENT = "synthetic: rendered by the project, shows nobody"
Embed = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.float32]], npt.NDArray[np.float32] | None]


def read_manifest(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a corpus's manifest, in order of the clips' names."""
    return [json.loads(line) for line in (Path(folder) / MANIFEST).read_text().splitlines()]


@dataclass(frozen=True)
class ClipTruth:
    """A clip's truth as saved: arrays as in tasks.studio.render.Rendered, controls, phonemes, and its manifest row."""

    row: dict[str, Any]
    arrays: dict[str, Any]
    phonemes: list[Phoneme]


def read_truth(path: str | os.PathLike[str]) -> ClipTruth:
    """The truth of a clip from its .npz file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name not in ("meta", "phoneme_symbols", "phoneme_times")}
        spans = zip(file["phoneme_symbols"].tolist(), file["phoneme_times"].tolist(), strict=True)
        return ClipTruth(json.loads(str(file["meta"])), arrays, [Phoneme(symbol, *times) for symbol, times in spans])


def studio_rows(
    folder: str | os.PathLike[str],
    split: str | None = None,
    *,
    dataset: str = "studio",
    crop_size: int = crops.CROP_SIZE,
    embed: Embed | None = None,
    jpeg_quality: int = 95,
) -> Iterator[dict[str, Any]]:
    """CLIPS rows of a rendered corpus by its truth: what preprocessing would find if it made no error.

    split: only this one. embed: frame uint8 [H,W,3] and kps float32 [5,2] to a unit face embedding
    (FaceAnalyzer.embed); `identity` is the mean over eight frames, null without it. Crops are aligned on the true
    points, smoothed in time as in preprocessing. Measures that need an expert (sync confidence) are null; the sync
    offset is 0 by construction.
    """
    for entry in read_manifest(folder):
        if split is None or entry["split"] == split:
            yield _clip_row(Path(folder), entry, dataset, crop_size, embed, jpeg_quality)


def _clip_row(
    folder: Path, entry: dict[str, Any], dataset: str, size: int, embed: Embed | None, jpeg_quality: int
) -> dict[str, Any]:
    truth = read_truth(folder / entry["truth"])
    arrays, video = truth.arrays, folder / entry["video"]
    pts, kps = arrays["pts"], arrays["kps"]
    aligned = np.stack([crops.crop_matrix(points, size) for points in kps])
    matrices = crops.rescale(
        crops.smooth_matrices(crops.rescale(aligned, crops.CROP_SIZE / size), pts), size / crops.CROP_SIZE
    )
    landmarks = np.stack(
        [crops.transform_points(matrix, points) for matrix, points in zip(matrices, arrays["landmarks"], strict=True)]
    )
    pictures: list[bytes] = []
    blur, exposure = [], []
    embeddings: list[npt.NDArray[np.float32]] = []
    step = max(1, len(pts) // 8)
    for index, _, frame in media.iter_frames(video):
        crop = crops.warp(frame, matrices[index], size)
        blur.append(quality.blur(crop))
        exposure.append(quality.exposure(crop))
        pictures.append(
            _encode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
        )
        if embed is not None and index % step == 0 and len(embeddings) < 8:
            found = embed(frame, kps[index])
            if found is not None:
                embeddings.append(found)
    if len(pictures) != len(pts):
        raise ValueError(f"{video}: {len(pictures)} frames, the truth has {len(pts)}: render the clip again")
    audio = media.read_audio(folder / entry["audio"])
    mel = log_mel(audio)
    yaw, pitch, roll = np.median(arrays["pose"][:, :3], axis=0)  # controls look up with positive pitch, rows down
    spoken = ("studio", entry["clip"], entry["text"], entry["voice"])
    # clips of one scene are cut from one shoot, as takes of real footage are
    source_id = content_id("studio scene", entry["scene"]) if entry.get("scene") is not None else content_id(*spoken)
    return row(
        CLIPS,
        clip_id=content_id("studio-truth", content_id(*spoken), size), dataset=dataset, source_id=source_id,
        source_uri=str(video), start_s=0.0, end_s=float(entry["seconds"]), fps=float(entry["fps"]),
        num_frames=len(pts), track_id=0,
        split=entry["split"], speaker=entry["speaker"], licence=LICENCE, consent=CONSENT, status="ok", stage="clips",
        crop_size=size, crops=pictures,
        masks=[_encode(".png", masks.label_mask(points, size)) for points in landmarks],
        landmarks=landmarks, kps=kps, matrices=matrices.astype(np.float32), pts=pts,
        mel=mel.astype(np.float16).tobytes(), mel_frames=int(mel.shape[1]),
        audio=np.round(np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes(), identity=_mean(embeddings),
        emotion=entry["emotion"], intensity=entry["intensity"], caption=entry["caption"], caption_source="truth",
        sync_offset=entry["sync_offset"], blur=float(np.median(blur)), exposure=float(np.median(exposure)),
        face_px=float(np.median(arrays["bbox"][:, 3] - arrays["bbox"][:, 1])), face_ratio=1.0,
        yaw=float(yaw), pitch=-float(pitch), roll=float(roll), mouth_opening=arrays["mouth_opening"],
        action_units=arrays["aus"],
        code_revision=code_revision(),
    )  # fmt: skip


def _encode(suffix: str, picture: npt.NDArray[Any], options: list[int] | None = None) -> bytes:
    return bytes(cv2.imencode(suffix, picture, options or [])[1].tobytes())


def _mean(embeddings: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32] | None:
    if not embeddings:
        return None
    mean = np.mean(embeddings, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
