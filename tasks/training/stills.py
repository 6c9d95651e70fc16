"""Single studio frames of many people: what the face pack is trained and judged on.

A talking corpus has few people and many alike frames; a recogniser and a landmark net want the opposite. Here every
person gets a handful of frames, each with its own pose, expression, mouth and light, with the exact truth beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.studio.controls import AUS, EMOTIONS, Controls, emotion_aus
from tasks.studio.identity import sample_identity
from tasks.studio.render import render, sample_scene

SIZE = 160  # pixels
# Head heights in picture heights: the face then has 70 to 120 px, about what insightface's crop gives it.
FRAMING = (0.62, 1.0)
FRAMES_A_LIGHT = 2  # frames of one person that share a light and a camera
COMPILE_FROM = 400  # frames in all from which building the renderer's kernel pays
# Identity seeds of the stills start here, so that no person of a talking corpus is among them.
IDENTITY_BASE = 7_000_000
HELD_OUT = 10  # every tenth person is held out of training


@dataclass
class Stills:
    """N frames with their truth.

    frames uint8 RGB [N,S,S,3], alpha uint8 [N,S,S] (255 = head), landmarks float32 [N,106,2], kps [N,5,2], bbox [N,4]
    (all px), mouth_opening float32 [N] in eye distances, identity int64 [N] (the person's seed), held_out bool [N]
    (people that are never trained on).
    """

    frames: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    kps: NDArray[np.float32]
    bbox: NDArray[np.float32]
    mouth_opening: NDArray[np.float32]
    identity: NDArray[np.int64]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frames)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Stills:
        """The chosen rows, by mask or by index."""
        return Stills(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def split(self) -> tuple[Stills, Stills]:
        """Frames of the people to train on, and of the people held out."""
        return self.of(~self.held_out), self.of(self.held_out)


def sample_controls(rng: np.random.Generator, frames: int) -> Controls:
    """Unrelated poses, expressions and mouths, one a frame; wide enough to cover what speech and emotion do."""
    controls = Controls.neutral(frames)
    for row in range(frames):
        aus = np.zeros(len(AUS), np.float32)
        if rng.random() < 0.7:
            aus = emotion_aus(EMOTIONS[rng.integers(1, len(EMOTIONS))], int(rng.integers(1, 4)))
        few = rng.random(len(AUS)) < 0.12
        aus = np.clip(aus + few * rng.random(len(AUS)), 0, 1)
        closed = rng.random() < 0.15
        for name in ("AU43L", "AU43R"):
            aus[AUS.index(name)] = rng.uniform(0.7, 1.0) if closed else min(aus[AUS.index(name)], 0.4) * rng.random()
        controls.aus[row] = aus
    jaw = rng.random(frames) * (rng.random(frames) < 0.7)
    controls.set("jaw", jaw)
    for name, share in (("wide", 0.4), ("round", 0.4), ("press", 0.15), ("tuck", 0.12), ("tongue", 0.15)):
        controls.set(name, rng.random(frames) * (rng.random(frames) < share))
    for name, spread, limit in (("yaw", 0.30, 0.65), ("pitch", 0.14, 0.4), ("roll", 0.12, 0.4)):
        controls.set(name, np.clip(rng.normal(0, spread, frames), -limit, limit))
    for name, spread in (("gaze_yaw", 0.25), ("gaze_pitch", 0.12)):
        controls.set(name, np.clip(rng.normal(0, spread, frames), -0.5, 0.5))
    return controls


def _encode(
    images: NDArray[np.uint8], extension: str, options: list[int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    parts = [cv2.imencode(extension, image, options)[1].reshape(-1) for image in images]
    return np.concatenate(parts), np.cumsum([0, *(len(part) for part in parts)])


def _decode(data: NDArray[np.uint8], ends: NDArray[np.int64], flag: int) -> NDArray[np.uint8]:
    return np.stack([np.asarray(cv2.imdecode(data[start:end], flag), np.uint8) for start, end in pairwise(ends)])


def render_person(
    path: Path, person: int, frames: int, size: int, seed: int, device: str = "cpu", compile_field: bool = False
) -> Path:
    """Render one person's frames into an npz file at ``path`` (whole or not at all); an existing file is kept."""
    if path.exists():
        return path
    identity = sample_identity(IDENTITY_BASE + person)
    rng = np.random.default_rng([seed, person])
    parts = []
    for start in range(0, frames, FRAMES_A_LIGHT):
        scene = sample_scene(identity, int(rng.integers(2**31)), framing=FRAMING)
        controls = sample_controls(rng, min(FRAMES_A_LIGHT, frames - start))
        parts.append(render(scene, controls, size=(size, size), device=device, compile_field=compile_field))
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("frames", "alpha", "landmarks", "kps", "bbox", "mouth_opening")
    }
    pictures, picture_ends = _encode(arrays.pop("frames")[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 96])
    mattes, matte_ends = _encode(arrays.pop("alpha"), ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3])
    payload: dict[str, Any] = {
        "pictures": pictures,
        "picture_ends": picture_ends,
        "mattes": mattes,
        "matte_ends": matte_ends,
        "person": np.int64(person),
        **{name: value.astype(np.float32) for name, value in arrays.items()},
    }
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        np.savez(file, **payload)
    aside.replace(path)
    return path


def _single_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def render_stills(
    out: Path,
    identities: int = 480,
    per_identity: int = 8,
    size: int = SIZE,
    seed: int = 0,
    workers: int = 1,
    device: str = "cpu",
) -> Iterator[Path]:
    """Render ``identities`` people x ``per_identity`` frames of ``size`` px, one file OUT/person-NNNNNN.npz a person.

    Yields each file when it is there. Persons already rendered are skipped, so a stopped run goes on. ``workers``
    processes, one core each.
    """
    out.mkdir(parents=True, exist_ok=True)
    compile_field = identities * per_identity >= COMPILE_FROM
    jobs = [
        (out / f"person-{person:06d}.npz", person, per_identity, size, seed, device, compile_field)
        for person in range(identities)
    ]
    if workers <= 1:
        for job in jobs:
            yield render_person(*job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_single_thread) as pool:
        yield from pool.map(render_person, *zip(*jobs, strict=True))


def read_stills(folder: Path, persons: Sequence[int] | None = None) -> Stills:
    """All stills of a folder (or of some persons), about 100 kB a frame at 160 px. Raises FileNotFoundError."""
    files = sorted(folder.glob("person-*.npz"))
    if persons is not None:
        wanted = {f"person-{person:06d}.npz" for person in persons}
        files = [file for file in files if file.name in wanted]
    if not files:
        raise FileNotFoundError(
            f"no studio stills in {folder}: render them first (dubwright train --stage detector does)"
        )
    rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name in Stills.__dataclass_fields__}
    for file in files:
        with np.load(file) as stored:
            frames = _decode(stored["pictures"], stored["picture_ends"], cv2.IMREAD_COLOR)[..., ::-1]
            rows["frames"].append(frames)
            rows["alpha"].append(_decode(stored["mattes"], stored["matte_ends"], cv2.IMREAD_GRAYSCALE))
            for name in ("landmarks", "kps", "bbox", "mouth_opening"):
                rows[name].append(stored[name])
            person = int(stored["person"])
            rows["identity"].append(np.full(len(frames), IDENTITY_BASE + person, np.int64))
            rows["held_out"].append(np.full(len(frames), person % HELD_OUT == HELD_OUT - 1))
    return Stills(**{name: np.concatenate(parts) for name, parts in rows.items()})
