"""A real face detector (SCRFD) takes the studio's heads for faces and puts its five points where the truth says.

DUBWRIGHT_DETECTOR_FRAMES=300 pytest --log-cli-level=INFO tests/tasks/studio/test_head_detector.py

looks at that many frames of 50 people and the episodes (minutes) and shows the figures.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from models.faces import FaceAnalyzer
from storage import media
from tasks.studio.controls import ARTICULATION, EMOTIONS, Controls, emotion_aus
from tasks.studio.identity import sample_identity
from tasks.studio.library import EPISODES
from tasks.studio.render import render, sample_scene

log = logging.getLogger(__name__)
FRAMES = int(os.environ.get("DUBWRIGHT_DETECTOR_FRAMES", "60"))
MANY = 200  # from which building the renderer's kernel pays
RENDERED_SHARE = 0.2 if FRAMES < MANY else 2 / 3  # the rest are frames of the shipped episodes
PER_PERSON = 1 if FRAMES < MANY else 4
MAX_YAW, MIN_FACE_PX = np.deg2rad(30.0), 64


@dataclass(frozen=True)
class View:
    """A frame uint8 [H,W,3], who is in it, and the truth of each face seen: kps float32 [L,5,2]."""

    person: str
    frame: np.ndarray
    kps: np.ndarray


@pytest.fixture(scope="module")
def detector(shared_dir: Path) -> FaceAnalyzer:
    weights = shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx"
    if not weights.is_file():
        pytest.skip("no SCRFD weights")
    return FaceAnalyzer(str(weights), det_thresh=0.02)


def corpus_views(count: int) -> Iterator[View]:
    """Frames as a corpus has them: any mood, any sound, the head turned by up to 30 degrees, drawn from one seed."""
    rng = np.random.default_rng(5)
    people = -(-count // PER_PERSON)
    for person in range(people):
        controls = Controls.neutral(PER_PERSON)
        for row in range(PER_PERSON):
            controls.aus[row] = emotion_aus(EMOTIONS[int(rng.integers(8))], int(rng.integers(0, 4)))
            controls.articulation[row, int(rng.integers(len(ARTICULATION)))] = rng.uniform(0, 1)
            controls.articulation[row, 0] = rng.uniform(0, 0.6)
            controls.pose[row, :3] = rng.uniform((-MAX_YAW, -0.2, -0.15), (MAX_YAW, 0.2, 0.15))
        scene = sample_scene(sample_identity(900 + person), person)
        seen = render(scene, controls, (144, 144), compile_field=FRAMES >= MANY)
        high = (seen.bbox[:, 3] - seen.bbox[:, 1]) >= MIN_FACE_PX
        yield from (View(f"corpus {person}", seen.frames[i], seen.kps[i][None]) for i in np.flatnonzero(high))


def episode_views(library: Path, count: int) -> Iterator[View]:
    """Frames of the shipped episodes at regular distances."""
    for episode in EPISODES:
        with np.load(library / f"{episode.name}.npz") as truth:
            kps, bbox = truth["kps"], truth["bbox"]
        high = (bbox[..., 3] - bbox[..., 1]) >= MIN_FACE_PX
        seen = np.flatnonzero(high.any(0))
        wanted = set(seen[np.linspace(0, len(seen) - 1, count // len(EPISODES)).astype(int)].tolist())
        for index, _, frame in media.iter_frames(library / f"{episode.name}.mp4"):
            if index in wanted:
                here = high[:, index]
                yield View(f"{episode.name} {np.flatnonzero(here)}", frame, kps[here, index])


def test_scrfd_accepts_the_studio(detector: FaceAnalyzer, library: Path) -> None:
    rendered = round(FRAMES * RENDERED_SHARE)
    scores, errors, people = [], [], set()
    for view in (*corpus_views(rendered), *episode_views(library, FRAMES - rendered)):
        faces = detector.detect(view.frame, embed=False)
        people.add(view.person)
        for kps in view.kps:
            eyes = np.linalg.norm(kps[1] - kps[0])
            off = [np.linalg.norm(face.kps - kps, axis=-1).mean() / eyes for face in faces]
            near = int(np.argmin(off)) if off and min(off) < 0.5 else -1
            scores.append(faces[near].score if near >= 0 else 0.0)
            if near >= 0:
                errors.append(off[near])
    accepted = np.mean(np.array(scores) >= 0.5)
    log.info(
        "SCRFD on %d faces of %d people or shots: %.1f %% with score >= 0.5, mean %.3f, least %.3f; points off by %.3f "
        "eye distances", len(scores), len(people), 100 * accepted, np.mean(scores), min(scores), np.mean(errors),
    )  # fmt: skip
    assert len(scores) >= 0.9 * FRAMES
    assert accepted >= 0.98
    assert np.mean(scores) > 0.65
    assert np.mean(errors) < 0.10
