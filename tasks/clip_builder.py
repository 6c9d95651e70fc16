"""One clip being made: frames go in while they are decoded, a CLIPS row comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.speech import log_mel
from models.syncnet import measure_lips
from storage import media
from storage.errors import InputRejected, outcome
from storage.ids import content_id
from storage.schema import CLIPS, row
from tasks import crops, masks, quality
from tasks.config import Config
from tasks.experts import Experts
from tasks.feelings import describe_clip
from tasks.probe import Source
from tasks.tracks import Track
from tasks.voice import read_padded

EMBEDDINGS = 8
"""Frames of a clip whose face embedding is averaged: spread over the clip, more change little."""


@dataclass(frozen=True)
class ClipSpan:
    """Frames `first` up to `last` (indices in the file) of a track, and their times in seconds."""

    track: Track
    first: int
    last: int
    start_s: float
    end_s: float


class ClipBuilder:
    """Collects the frames of one span.

    Crops are kept as JPEG while the clip grows (about 8 kB each), and dropped again if the clip is rejected.
    """

    def __init__(
        self,
        source: Source,
        span: ClipSpan,
        fps: float,
        base: dict[str, Any],
        config: Config,
        experts: Experts,
    ) -> None:
        self.last = span.last
        self._source, self._track, self._config, self._experts = source, span.track, config, experts
        self._first, self._end_s, self._fps, self._base = span.first, span.end_s, fps, base
        self._here = slice(span.first - span.track.first, span.last - span.track.first)
        self._crops: list[bytes] = []
        self._blur: list[float] = []
        self._exposure: list[float] = []
        self._embeddings: list[NDArray[np.float32]] = []
        self._embed_every = max(1, (span.last - span.first) // EMBEDDINGS)

    def add(self, index: int, frame: NDArray[np.uint8]) -> None:
        """Frame uint8 [H,W,3] number `index` of the file."""
        size = self._config.preprocess.crop_size
        at = index - self._track.first
        crop = crops.warp(frame, crops.rescale(self._track.matrices[at], size / crops.CROP_SIZE), size)
        self._blur.append(quality.blur(crop))
        self._exposure.append(quality.exposure(crop))
        self._crops.append(_jpeg(crop, self._config.preprocess.jpeg_quality))
        if (index - self._first) % self._embed_every == 0 and len(self._embeddings) < EMBEDDINGS:
            embedding = self._experts.faces.embed(frame, self._track.kps[at])
            if embedding is not None:
                self._embeddings.append(embedding)

    def finish(self) -> dict[str, Any]:
        """The CLIPS row: whole if every gate was passed, else the measures and the gate that was not."""
        measures = self._measures()
        try:
            if len(self._crops) != measures["num_frames"]:
                raise ValueError(f"{len(self._crops)} of {measures['num_frames']} frames could be read a second time")
            self._gate_picture(measures)
            heavy = self._sound(measures)
            self._gate_sync(measures)
            heavy |= self._pictures() | self._units()
            verdict: dict[str, Any] = {"status": "ok", "stage": "clips"}
        except Exception as error:  # noqa: BLE001 - a bad clip costs itself alone
            heavy, verdict = {}, outcome(error, "clips")
        return row(CLIPS, **(self._base | measures | heavy | verdict))

    def _measures(self) -> dict[str, Any]:
        """Everything that the track and the pictures tell."""
        track, here = self._track, self._here
        start_s = float(track.pts[here.start])
        yaw, pitch, roll = np.median(quality.head_pose(track.kps[here]), axis=0)
        identity = _mean_embedding(self._embeddings)
        return {
            "clip_id": content_id(self._base["clip_id"], track.number, start_s, self._end_s),
            "track_id": track.number, "start_s": start_s, "end_s": self._end_s, "fps": self._fps,
            "num_frames": here.stop - here.start,
            "face_px": float(np.median(quality.face_height(track.bbox[here]))),
            "face_ratio": track.ratio(here),
            "yaw": float(yaw), "pitch": float(pitch), "roll": float(roll),
            "blur": float(np.median(self._blur)) if self._blur else None,
            "exposure": float(np.median(self._exposure)) if self._exposure else None,
            "identity": identity,
        }  # fmt: skip

    def _gate_picture(self, measures: dict[str, Any]) -> None:
        limits = self._config.preprocess
        length = measures["end_s"] - measures["start_s"]
        if length < limits.min_clip_s - 1e-6:
            raise InputRejected("clips", "clip_s", length, limits.min_clip_s, "s", "lower preprocess.min_clip_s")
        _at_least("faces", "face_px", measures["face_px"], limits.min_face_px, "px", "preprocess.min_face_px")
        _at_least("faces", "face_ratio", measures["face_ratio"], limits.min_face_ratio, "", "preprocess.min_face_ratio")
        turned = float(np.degrees(abs(measures["yaw"])))
        if turned > limits.max_yaw_deg:
            raise InputRejected("pose", "yaw_deg", turned, limits.max_yaw_deg, "deg", "raise preprocess.max_yaw_deg")
        _at_least("quality", "blur", measures["blur"], limits.min_blur, "", "preprocess.min_blur")
        _at_least("quality", "exposure", measures["exposure"], limits.min_exposure, "", "preprocess.min_exposure")
        if measures["exposure"] > limits.max_exposure:
            raise InputRejected(
                "quality", "exposure", measures["exposure"], limits.max_exposure, "", "raise preprocess.max_exposure"
            )

    def _sound(self, measures: dict[str, Any]) -> dict[str, Any]:
        """Sound and mel of the clip; emotion and the sync expert's verdict go into `measures`."""
        start_s, end_s = measures["start_s"], self._end_s
        audio = media.read_audio(self._source.sound, self._config.audio.rate, start_s, end_s)
        mel = log_mel(audio)
        pcm = np.round(np.clip(audio, -1, 1) * 32767).astype("<i2")
        pictures = [_decode(data) for data in self._crops]
        measures |= describe_clip(
            self._base["emotion"], self._base["intensity"], self._source.caption, pictures, audio,
            self._track.kps[self._here], self._track.pts[self._here], self._track.opening[self._here], self._experts,
        )  # fmt: skip
        expert = self._experts.sync
        if expert is not None:
            margin_s = self._config.preprocess.max_sync_offset / 25 + 0.2
            around = read_padded(self._source.sound, start_s - margin_s, end_s + margin_s)
            try:
                found = measure_lips(
                    np.stack(pictures), self._track.pts[self._here], around, expert,
                    self._config.preprocess.max_sync_offset, start_s - margin_s,
                )  # fmt: skip
            except ValueError as error:
                raise InputRejected(
                    "sync", "sync_confidence", 0.0, self._config.preprocess.min_sync_confidence, "",
                    "give footage with speech", reason=str(error),
                ) from error  # fmt: skip
            measures |= {
                "sync_confidence": found.confidence, "sync_offset": found.offset_frames, "sync_distance": found.distance
            }  # fmt: skip
        return {"audio": pcm.tobytes(), "mel": mel.astype(np.float16).tobytes(), "mel_frames": int(mel.shape[1])}

    def _gate_sync(self, measures: dict[str, Any]) -> None:
        limits = self._config.preprocess
        if measures.get("sync_confidence") is None:
            return
        if limits.min_sync_confidence > 0:
            _at_least(
                "sync", "sync_confidence", measures["sync_confidence"], limits.min_sync_confidence, "",
                "preprocess.min_sync_confidence",
            )  # fmt: skip
        offset = abs(measures["sync_offset"])
        if offset > limits.max_sync_offset:
            raise InputRejected(
                "sync", "sync_offset", offset, limits.max_sync_offset, "frames", "raise preprocess.max_sync_offset"
            )

    def _pictures(self) -> dict[str, Any]:
        """The heavy columns that only a clip that is kept has."""
        track, here, size = self._track, self._here, self._config.preprocess.crop_size
        matrices = track.matrices[here] * (size / crops.CROP_SIZE)
        points = track.landmarks[here] if track.landmarks is not None else None
        found: dict[str, Any] = {
            "crop_size": size, "crops": self._crops, "pts": track.pts[here],
            "kps": track.kps[here].astype(np.float32), "matrices": matrices.astype(np.float32),
        }  # fmt: skip
        if points is not None:
            placed = np.stack([crops.transform_points(m, p) for m, p in zip(matrices, points, strict=True)])
            found["landmarks"] = placed
            found["masks"] = [_png(masks.label_mask(p, size)) for p in placed]
        if np.isfinite(track.opening[here]).all():
            found["mouth_opening"] = track.opening[here]
        return found

    def _units(self) -> dict[str, Any]:
        """Action units of every frame, where there is a reader."""
        reader = self._experts.action_units
        if reader is None:
            return {}
        pictures = torch.from_numpy(np.stack([_decode(data) for data in self._crops])).permute(0, 3, 1, 2)
        return {"action_units": reader.read(pictures).numpy()}


def _at_least(stage: str, measure: str, value: float, limit: float, unit: str, parameter: str) -> None:
    if value < limit:
        raise InputRejected(stage, measure, value, limit, unit, f"lower {parameter}")


def _mean_embedding(embeddings: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    if not embeddings:
        return None
    mean = np.mean(embeddings, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)


def _jpeg(crop: NDArray[np.uint8], quality_percent: int) -> bytes:
    data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality_percent])[1]
    return bytes(data.tobytes())


def _png(labels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", labels)[1].tobytes())


def _decode(data: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a crop's JPEG does not decode")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
