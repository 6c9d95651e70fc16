"""The second pass over a film: aligned crops with their masks, what the pictures tell, and whose face it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks import crops, masks, quality
from tasks.config import Config
from tasks.experts import Experts
from tasks.occlusion import occlusion
from tasks.sources import Source
from tasks.steps.step import Clip

FIELDS = (
    "crop_size", "crops", "masks", "landmarks", "matrices", "pose", "yaw", "pitch", "roll", "blur", "exposure",
    "occlusion", "face_inside", "identity",
)  # fmt: skip
LOOKS = 8
"""Frames of a clip, spread over it, whose face embeddings are averaged, and whose lower face is looked at for what may
cover it: more change little."""

Cropped = tuple[int, dict[str, Any] | Exception, float, float]
"""Number of the clip, its columns or why there are none, seconds and CPU seconds."""


def crop_film(
    source: Source, clips: Sequence[Clip], config: Config, experts: Experts, alive: Callable[[], None]
) -> Iterator[Cropped]:
    """Cuts the crops of these clips (in the order of their first frames) in one pass, each yielded as it is whole.

    Raises:
        InputFailed: the file breaks in the middle.
    """
    waiting = [_Growing(clip, config, experts) for clip in clips]
    if not waiting:
        return
    start_s, end_s = min(clip.start_s for clip in waiting), max(clip.end_s for clip in waiting)
    growing: list[_Growing] = []
    wall, cpu = time.perf_counter(), time.process_time()
    for index, _, frame in media.iter_frames(source.uri, start_s, end_s, threads=config.runtime.threads):
        while waiting and waiting[0].first <= index:
            growing.append(waiting.pop(0))
        for clip in growing:
            clip.add(index, frame)
        now = time.perf_counter(), time.process_time()
        for clip in growing:  # those in view share the decoding
            clip.seconds += (now[0] - wall) / len(growing)
            clip.cpu_seconds += (now[1] - cpu) / len(growing)
        wall, cpu = now
        for clip in [clip for clip in growing if index + 1 >= clip.last]:
            growing.remove(clip)
            yield clip.finish()
            wall, cpu = time.perf_counter(), time.process_time()
        if index % 25 == 0:
            alive()
    for clip in [*growing, *waiting]:
        yield clip.finish()


class _Growing:
    """A clip whose frames pass. Its crops are kept as JPEG, about 8 kB each."""

    def __init__(self, clip: Clip, config: Config, experts: Experts) -> None:
        self._clip, self._config, self._experts = clip, config, experts
        self.first, self.start_s, self.end_s = int(clip["first"]), float(clip["start_s"]), float(clip["end_s"])
        self.last = self.first + int(clip["num_frames"])
        self.seconds = self.cpu_seconds = 0.0
        self._size = config.preprocess.crop_size
        self._crops: list[bytes] = []
        self._masks: list[bytes] = []
        self._blur: list[float] = []
        self._exposure: list[float] = []
        self._embeddings: list[NDArray[np.float32]] = []
        self._hidden: list[float] = []
        self._shape = (0, 0)
        self._every = max(1, (self.last - self.first) // LOOKS)
        self._matrices: NDArray[np.float64] | None = None
        self._kps: NDArray[np.float32] | None = None
        self._points: NDArray[np.float32] | None = None

    def add(self, index: int, frame: NDArray[np.uint8]) -> None:
        """Frame uint8 [H,W,3] number `index` of the file."""
        if self._matrices is None or self._kps is None:
            self._matrices, self._kps = self._clip["unit_matrices"] * (self._size / crops.CROP_SIZE), self._clip["kps"]
            points, self._shape = self._clip["source_landmarks"], frame.shape[:2]
            if points is not None:
                self._points = np.stack(
                    [crops.transform_points(m, p) for m, p in zip(self._matrices, points, strict=True)]
                )
        at = index - self.first
        crop = crops.warp(frame, self._matrices[at], self._size)
        if self._points is not None:
            self._masks.append(_png(masks.label_mask(self._points[at], self._size, crop)))
        self._blur.append(quality.blur(crop))
        self._exposure.append(quality.exposure(crop))
        self._crops.append(_jpeg(crop, self._config.preprocess.jpeg_quality))
        if at % self._every == 0 and at // self._every < LOOKS:
            if self._points is not None and self._clip["mouth_opening"] is not None:  # points that were measured
                self._hidden.append(occlusion(crop, self._points[at]))
            embedding = self._experts.faces.embed(frame, self._kps[at])
            if embedding is not None:
                self._embeddings.append(embedding)

    def finish(self) -> Cropped:
        """Its columns; an error where frames could not be read a second time."""
        wall, cpu = time.perf_counter(), time.process_time()
        if len(self._crops) != self.last - self.first:
            lost = ValueError(f"{len(self._crops)} of {self.last - self.first} frames could be read a second time")
            return self._clip.number, lost, self.seconds, self.cpu_seconds
        found: dict[str, Any] = {"crop_size": self._size, "crops": self._crops}
        if self._matrices is not None and self._kps is not None:
            height, width = self._shape
            boxes = quality.face_inside(self._clip["bbox"], width, height)
            measured = self._clip["source_landmarks"] if self._clip["mouth_opening"] is not None else None
            pose = quality.head_pose(self._kps if measured is None else measured).astype(np.float32)
            yaw, pitch, roll = np.median(pose, axis=0)
            found |= {
                "matrices": self._matrices.astype(np.float32), "pose": pose, "yaw": float(yaw), "pitch": float(pitch),
                "roll": float(roll), "blur": float(np.median(self._blur)), "exposure": float(np.median(self._exposure)),
                "identity": _mean_embedding(self._embeddings),
                "occlusion": float(np.median(self._hidden)) if self._hidden else None,
                "face_inside": float(
                    np.median(np.minimum(boxes, quality.face_inside(self._kps, width, height)))
                ),
            }  # fmt: skip
            if self._points is not None:
                found |= {"landmarks": self._points, "masks": self._masks}
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu
        return self._clip.number, found, self.seconds, self.cpu_seconds


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
