"""Expressions of many people, rendered: what the emotion experts and the emotion branch learn from.

Each person is shown in one light, by one camera, about one pose, in every emotion and intensity, speaking: between two
pictures of a person only expression, mouth and a little of the pose differ, so what a network finds in common between
two pictures of an emotion is the emotion. Frames are kept as the aligned crops of tasks/crops.py, with exact truth.
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

from storage.atomic import written_aside
from tasks.crops import crop_matrix, transform_points, warp
from tasks.studio.acting import Style, act
from tasks.studio.controls import EMOTIONS, Controls
from tasks.studio.identity import sample_identity
from tasks.studio.render import render, sample_scene
from tasks.studio.speech import SAMPLE_RATE, Phoneme, Speech, Voice

STATES = (("neutral", 0), *((emotion, level) for emotion in EMOTIONS[1:] for level in (1, 2, 3)))
"""What each person is shown in: 22 pairs of emotion and intensity."""
SIZE = 184  # pixels of a rendered frame
FRAMING = (0.84, 0.96)  # head heights in picture heights: at SIZE the crop has no more pixels than the frame gave
# Identity seeds of these people start here: none of them is in a talking corpus or among the stills.
IDENTITY_BASE = 8_000_000
HELD_OUT = 8  # every eighth person is held out of training
COMPILE_FROM = 400  # frames in all from which building the renderer's kernel pays
_VOWELS = ("a", "ɑ", "ɛ", "e", "ɪ", "i", "ə", "ɔ", "o", "ʊ", "u", "y")
_CONSONANTS = ("p", "b", "m", "f", "v", "w", "l", "θ", "t", "d", "n", "s", "ʃ", "k", "r", "h")
_JITTER = {"pitch": 0.05, "yaw": 0.07, "roll": 0.035}  # rad about the person's own pose


@dataclass
class Expressions:
    """N crops with their truth.

    crops uint8 RGB [N,128,128,3]; aus float32 [N,20] and articulation float32 [N,6] in 0..1 (tasks/studio/controls.py);
    emotion int64 [N] (index into EMOTIONS), intensity int64 [N] 0..3; landmarks float32 [N,106,2] and kps [N,5,2] in
    crop pixels; mouth_opening float32 [N] in eye distances; identity int64 [N] (the person's seed), held_out bool [N]
    (people that are never trained on).
    """

    crops: NDArray[np.uint8]
    aus: NDArray[np.float32]
    articulation: NDArray[np.float32]
    emotion: NDArray[np.int64]
    intensity: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    kps: NDArray[np.float32]
    mouth_opening: NDArray[np.float32]
    identity: NDArray[np.int64]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.crops)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Expressions:
        """The chosen rows, by mask or by index."""
        return Expressions(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def split(self) -> tuple[Expressions, Expressions]:
        """Crops of the people to train on, and of the people held out."""
        return self.of(~self.held_out), self.of(self.held_out)


def babble(rng: np.random.Generator, emotion: str, intensity: int, seconds: float = 1.2) -> Speech:
    """Speech of random syllables with a steady loud voice: for the lips only, nobody is meant to hear it."""
    phonemes, at = [], 0.0
    while at < seconds:
        for sounds, shortest, longest in ((_CONSONANTS, 0.05, 0.11), (_VOWELS, 0.07, 0.2)):
            end = at + float(rng.uniform(shortest, longest))
            phonemes.append(Phoneme(str(rng.choice(sounds)), at, end))
            at = end
        if rng.random() < 0.1:
            phonemes.append(Phoneme("", at, at + 0.25))
            at += 0.25
    level = 10 ** (rng.uniform(-26, -14) / 20)
    audio = (level * rng.standard_normal(round(at * SAMPLE_RATE))).astype(np.float32)
    return Speech(audio, phonemes, [], "", Voice(), emotion, intensity)


def sample_expressions(
    rng: np.random.Generator, takes: int = 1, instead: Sequence[int] | None = None
) -> tuple[Controls, NDArray[np.int64]]:
    """One person's controls, `takes` frames of each of STATES, and the state int64 [T] that each shows.

    Pose and gaze are drawn without regard to the emotion: a head that hangs would give sadness away.

    Args:
        instead: states [T] to be shown instead, with the same `rng` in the same poses and with the same lips.
    """
    yaw, pitch, roll = rng.normal(0, (0.16, 0.07, 0.05))
    planned = np.repeat(np.arange(len(STATES)), takes)
    shown = planned if instead is None else np.asarray(instead, np.int64)
    parts = []
    for state in shown:
        at = [float(rng.uniform(0.3, 0.9))]
        controls = act(babble(rng, *STATES[state]), at, int(rng.integers(2**31)), Style(blink_every_s=6.0))
        controls.pose[:] = 0
        for name, centre in (("yaw", yaw), ("pitch", pitch), ("roll", roll)):
            controls.set(name, float(np.clip(centre + rng.normal(0, _JITTER[name]), -0.5, 0.5)))
        for name, spread in (("gaze_yaw", 0.1), ("gaze_pitch", 0.06)):
            controls.set(name, float(np.clip(rng.normal(0, spread), -0.3, 0.3)))
        parts.append(controls)
    return Controls.concat(parts), shown


def is_held_out(person: int) -> bool:
    """Whether nothing is trained on this person."""
    return person % HELD_OUT == HELD_OUT - 1


def render_person(
    path: Path,
    person: int,
    takes: int,
    size: int = SIZE,
    device: str = "cpu",
    compile_field: bool = False,
    other: bool = False,
    few: int | None = None,
) -> Path:
    """Render one person's crops into an npz file at `path` (whole or not at all); an existing file is kept.

    With `few`, only that many of STATES, drawn for this person.

    With `other`, the same poses and lips in other states: neutral for half of them, and for all of a person that is
    held out. The upper face of these with the lower face of the others is what dubbing makes of footage.
    """
    if path.exists():
        return path
    rng = np.random.default_rng([IDENTITY_BASE, person])
    scene = sample_scene(sample_identity(IDENTITY_BASE + person), int(rng.integers(2**31)), framing=FRAMING)
    instead = None
    chance = np.random.default_rng([IDENTITY_BASE, person, 1])
    if few is not None:
        instead = np.sort(chance.permutation(len(STATES))[:few]).tolist()
    elif other:
        count = takes * len(STATES)
        neutral = (chance.random(count) < 0.5) | is_held_out(person)
        instead = np.where(neutral, 0, chance.integers(1, len(STATES), count)).tolist()
    controls, states = sample_expressions(rng, takes, instead)
    shown = render(scene, controls, (size, size), device, compile_field=compile_field)
    matrices = [crop_matrix(points) for points in shown.kps]
    coded = [_encode(warp(frame, matrix)) for frame, matrix in zip(shown.frames, matrices, strict=True)]
    moved = {
        name: np.stack([transform_points(matrix, points) for matrix, points in zip(matrices, values, strict=True)])
        for name, values in (("landmarks", shown.landmarks), ("kps", shown.kps))
    }
    labels = np.array([(EMOTIONS.index(emotion), level) for emotion, level in STATES], np.int64)[states]
    payload: dict[str, Any] = {
        "pictures": np.concatenate(coded),
        "picture_ends": np.cumsum([len(picture) for picture in coded]),
        "aus": controls.aus,
        "articulation": controls.articulation,
        "emotion": labels[:, 0],
        "intensity": labels[:, 1],
        "mouth_opening": shown.mouth_opening,
        "person": np.int64(person),
        **moved,
    }
    with written_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, **payload)
    return path


def _encode(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    options = [cv2.IMWRITE_JPEG_QUALITY, 96]
    return np.asarray(cv2.imencode(".jpg", np.ascontiguousarray(crop[..., ::-1]), options)[1].reshape(-1), np.uint8)


def _decode(coded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def _single_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def render_expressions(
    out: Path,
    identities: int = 128,
    takes: int = 1,
    other: bool = False,
    size: int = SIZE,
    workers: int = 1,
    device: str = "cpu",
    first: int = 0,
    few: int | None = None,
) -> Iterator[Path]:
    """Render `takes` × 22 crops of each of `identities` people, one file OUT/person-NNNNNN.npz (other-… ) each.

    Yields each file when it is there. People already rendered are skipped, so a stopped run goes on. `workers`
    processes, one core each; 1 renders in this process. `other`, `few`: see `render_person`. The people are numbered
    from `first` on.
    """
    out.mkdir(parents=True, exist_ok=True)
    compile_field = identities * (few or takes * len(STATES)) >= COMPILE_FROM
    jobs = [
        (_file(out, person, other), person, takes, size, device, compile_field, other, few)
        # those held out come first: what is measured on them need not wait for the rest
        for person in sorted(range(first, first + identities), key=lambda person: (not is_held_out(person), person))
    ]
    if workers <= 1:
        for job in jobs:
            yield render_person(*job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_single_thread) as pool:
        yield from pool.map(render_person, *zip(*jobs, strict=True))


def _file(folder: Path, person: int, other: bool) -> Path:
    return folder / f"{'other' if other else 'person'}-{person:06d}.npz"


def read_expressions(folder: Path, people: Sequence[int] | None = None, other: bool = False) -> Expressions:
    """All expressions of a folder (or of some people), 50 kB a crop; those of `other` states where asked.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.glob("other-*.npz" if other else "person-*.npz"))
    if people is not None:
        wanted = {_file(folder, person, other) for person in people}
        files = [file for file in files if file in wanted]
    if not files:
        raise FileNotFoundError(f"no rendered expressions in {folder}: `render_expressions` makes them")
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in Expressions.__dataclass_fields__}
    for file in files:
        with np.load(file) as stored:
            coded, person = stored["pictures"], int(stored["person"])
            bounds = pairwise([0, *stored["picture_ends"].tolist()])
            crops = np.stack([_decode(coded[start:end]) for start, end in bounds])
            rows["crops"].append(crops)
            for name in ("aus", "articulation", "emotion", "intensity", "landmarks", "kps", "mouth_opening"):
                rows[name].append(stored[name])
        rows["identity"].append(np.full(len(crops), IDENTITY_BASE + person, np.int64))
        rows["held_out"].append(np.full(len(crops), is_held_out(person)))
    return Expressions(**{name: np.concatenate(parts) for name, parts in rows.items()})
