"""The exam of `tasks.tracks`: two people in view, moving, near each other, turning away, hidden for moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from models.faces import Face
from tasks.config import Config
from tasks.exams.footage import FPS, Frames, Scripted, grain, over, script, through_the_encoder
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.shots import shots_between
from tasks.studio.acting import Style
from tasks.studio.render import Rendered
from tasks.track_links import box_iou
from tasks.tracks import Track, Tracker

SIZE = (256, 144)
PLAYS = ("approach", "turn", "cross", "post", "walk")
"""What happens: one walks up to the other and back; one turns away and back; one comes before the other a little;
something narrow passes before both; one walks through the picture until the other hides half of the face."""
TURNED = 1.25
"""Greatest turn of the head, rad: out of a detector's sight for moments."""
MATCH = 0.5
LOST = 0.03
"""Share of detections taken away at random, beside one gap of a fifth of a second a face."""


@dataclass
class Scene:
    """Frames uint8 [T,H,W,3] with the boxes [2,T,4] of both people, and where each can be seen, bool [2,T]."""

    play: str
    frames: Frames
    boxes: NDArray[np.float32]
    visible: NDArray[np.bool_]


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """IDF1 of the persons that tracks are told to be, over all scenes; persons mixed up; tracks that one was cut to."""
    plays = ("approach", "turn") if quick else PLAYS * 2
    right = asked = told = pieces = exchanged = 0
    worst = 1.0
    for number, play in enumerate(plays):
        scene = film(play, seed, number, 30 if quick else 50)
        tracks = follow(scene, config, experts, np.random.default_rng([seed, number, 0x7AC]))
        shares = shared(scene, tracks)
        persons = sorted({track.person for track in tracks})
        told_apart = np.zeros((2, len(persons)), dtype=np.int64)
        for column, track in enumerate(tracks):
            told_apart[:, persons.index(track.person)] += shares[:, column]
        matched = int(told_apart[linear_sum_assignment(-told_apart)].sum())
        counted = int(scene.visible.sum())
        predicted = sum(_counted(scene, track) for track in tracks)
        right, asked, told = right + matched, asked + counted, told + predicted
        worst = min(worst, 2 * matched / max(counted + predicted, 1))
        pieces += sum(int((row >= 3).sum()) for row in shares)
        exchanged += sum(int((column >= 3).sum() > 1) for column in told_apart.T)
    people = 2 * len(plays)
    return [
        Finding("two people, IDF1", 2 * right / max(asked + told, 1), 0.98, cases=asked, note="Ristani et al. 2016"),
        Finding("worst scene, IDF1", worst, None, cases=len(plays)),
        Finding("persons mixed up", exchanged, 0, "persons", higher_is_better=False, cases=people),
        Finding("tracks a person", pieces / people, None, "tracks", higher_is_better=False, cases=people),
    ]


def follow(scene: Scene, config: Config, experts: Experts, rng: np.random.Generator) -> list[Track]:
    """Tracks of a scene, by the configured detector less what `LOST` takes away."""
    tracker = Tracker(config.tracks)
    holes = [int(rng.integers(8, len(scene.frames) - 12)) for _ in range(2)]
    for index, frame in enumerate(scene.frames):
        found = experts.faces.detect(frame, embed=False)
        kept = [face for face in found if rng.random() >= LOST and not _lost(face, index, holes)]
        tracker.push(index / FPS, frame, kept)
    tracks, _ = tracker.finish(shots_between([], tracker.pts, len(scene.frames) / FPS))
    return tracks


def _lost(face: Face, index: int, holes: Sequence[int]) -> bool:
    left = float(face.bbox[0] + face.bbox[2]) < SIZE[0]
    first = holes[0 if left else 1]
    return first <= index < first + round(FPS / 5)


def shared(scene: Scene, tracks: Sequence[Track]) -> NDArray[np.int64]:
    """Frames [2, tracks] in which a person who can be seen and a track are at the same place."""
    counts = np.zeros((2, len(tracks)), dtype=np.int64)
    for column, track in enumerate(tracks):
        for index in range(track.first, track.last):
            for person in np.flatnonzero(scene.visible[:, index]):
                box = track.bbox[index - track.first]
                counts[person, column] += box_iou(scene.boxes[person, index], box) >= MATCH
    return counts


def _counted(scene: Scene, track: Track) -> int:
    """Frames of a track, less those in which it stays on a person who cannot be seen just then."""
    count = 0
    for index in range(track.first, track.last):
        box = track.bbox[index - track.first]
        hidden = (box_iou(scene.boxes[p, index], box) >= 0.3 for p in np.flatnonzero(~scene.visible[:, index]))
        count += not any(hidden)
    return count


def film(play: str, seed: int, number: int, frames: int) -> Scene:
    """Two people on one set, rendered one by one and joined by their coverage; who is second stands in front."""
    rng = np.random.default_rng([seed, number, 0x2F0])
    phase = np.linspace(0, 1, frames)
    there = np.sin(np.pi * phase) ** 2
    apart = {"approach": 0.42 - 0.16 * there, "cross": 0.40 - 0.20 * there}.get(play, np.full(frames, 0.40))
    turning = int(rng.integers(2))
    rendered: list[Rendered] = []
    first: Scripted | None = None
    for place, side in enumerate((-1.0, 1.0)):
        style = Style(yaw=-0.15 * side, sway=1.0)
        played = script(seed, 2 * number + place, frames, framing=(0.56, 0.56), style=style)
        first = first or played
        camera = replace(first.scene.camera, x=0.0)
        scene = replace(played.scene, light=first.scene.light, background=first.scene.background, camera=camera)
        pose = played.controls.pose
        unit = camera.distance / camera.zoom
        pose[:, 3] = side * apart * unit + 0.3 * (pose[:, 3] - pose[:, 3].mean())
        if play == "walk" and place == 0:
            pose[:, 3] = np.interp(phase, [0, 0.15, 0.85, 1], [-0.62, -0.55, 0.15, 0.15]) * unit
            pose[:, 5] -= 0.3
        if play == "turn" and place == turning:
            away = np.clip(1.6 * there - 0.3, 0, 1) ** 2
            pose[:, 0] = (1 - away) * pose[:, 0] + away * side * TURNED
        rendered.append(replace(played, scene=scene).film(SIZE))
    picture = rendered[0].frames
    front = rendered[1].alpha.astype(np.float32) / 255
    picture = np.stack([over(a, cover, b) for a, cover, b in zip(picture, front, rendered[1].frames, strict=True)])
    if play == "post":
        picture = _post(picture)
    noisy = grain(picture, float(rng.uniform(1, 3)), rng)
    visible = np.stack([one.visible for one in rendered])
    covered = _share_behind(rendered[0].bbox, front)
    visible[0] &= covered < 0.5
    return Scene(play, through_the_encoder(noisy, 23), np.stack([one.bbox for one in rendered]), visible)


def _post(frames: Frames) -> Frames:
    """Something as narrow as a post goes by before both, in about a second and a half."""
    out = frames.copy()
    width, wide = SIZE[0], SIZE[0] // 14
    for index in range(len(out)):
        x = int((width + wide) * index / len(out)) - wide
        out[index, :, max(0, x) : max(0, x + wide)] = (46, 40, 38)
    return out


def _share_behind(boxes: NDArray[np.float32], front: NDArray) -> NDArray[np.float64]:
    """Share [T] of each box [T,4] that the one in front, coverage [T,H,W], hides."""
    shares = []
    for box, cover in zip(np.round(boxes).astype(int), front, strict=True):
        part = cover[max(0, box[1]) : box[3], max(0, box[0]) : box[2]]
        shares.append(float(part.mean()) if part.size else 0.0)
    return np.array(shares)
