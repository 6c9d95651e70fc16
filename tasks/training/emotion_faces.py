"""Pictures that the face experts learn from: from a talking corpus and from rendered expressions, and how they vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.emotion import EMOTIONS
from models.sampling import fast_dtype
from storage import media
from storage.atomic import written_aside
from tasks.crops import crop_matrix, warp
from tasks.masks import dub_mask
from tasks.studio.clip_files import read_manifest, read_truth
from tasks.studio.controls import AUS, emotion_aus
from tasks.training.expressions import Expressions, read_expressions
from tasks.training.stills import FRAMES_A_LIGHT, read_stills, sample_controls
from tasks.training.stills import IDENTITY_BASE as STILLS_BASE

SIDE, MARGIN = 96, 8
"""Pixels of a face that is learned from, and of the rim round it that lets it be turned and shifted."""
EVERY = 5
GREY = 127
"""What stands where nothing is to be seen."""


@dataclass(frozen=True)
class Faces:
    """N faces with a margin for turning and shifting them.

    pictures uint8 RGB [N,S,S,3]: aligned crops; rest: the same pose and lips with another expression, where there is
    one (else the same picture); aus float32 [N,20] and articulation float32 [N,6] in 0..1; emotion int64 [N],
    intensity int64 [N]; clip int64 [N]: frames of one clip, or all pictures of one person and state, share a number;
    person int64 [N]: the identity's seed.
    """

    pictures: NDArray[np.uint8]
    rest: NDArray[np.uint8]
    aus: NDArray[np.float32]
    articulation: NDArray[np.float32]
    emotion: NDArray[np.int64]
    intensity: NDArray[np.int64]
    clip: NDArray[np.int64]
    person: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pictures)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Faces:
        """The chosen rows, by mask or by index."""
        return Faces(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def mixed(self) -> NDArray[np.bool_]:
        """bool [N]: where `rest` is another picture."""
        return np.array([not np.array_equal(a, b) for a, b in zip(self.pictures, self.rest, strict=True)])


class Lot:
    """Draws rows; of frames that are alike the more, the more there are, but by the square root only.

    A clip of twenty frames shows one person in one emotion: drawn as often as twenty stills, it would be learned by
    heart.
    """

    def __init__(self, faces: Faces, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self.ends = np.cumsum(np.bincount(faces.clip)[faces.clip[rows]] ** -0.5)

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, rng: np.random.Generator) -> int:
        """One of the rows."""
        return int(self.rows[np.searchsorted(self.ends, rng.random() * self.ends[-1], "right")])


def join_faces(parts: Sequence[Faces]) -> Faces:
    """Several sets as one; their clips stay apart."""
    shift, clips = 0, []
    for part in parts:
        clips.append(part.clip + shift)
        shift += int(part.clip.max()) + 1
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Faces.__dataclass_fields__}
    return Faces(**(values | {"clip": np.concatenate(clips)}))


def corpus_faces(corpus: Path, kept_in: Path, side: int, margin: int, splits: Sequence[str] = ("train",)) -> Faces:
    """Every fifth frame of the clips of `splits`, cropped by the true points; kept under `kept_in`.

    Raises:
        ValueError: the corpus has no such clips.
    """
    kept_in.mkdir(parents=True, exist_ok=True)
    pictures, aus, articulation, labels = [], [], [], []
    for number, row in enumerate(row for row in read_manifest(corpus) if row["split"] in splits):
        kept = kept_in / f"{row['clip']}-{side}.npz"
        if not kept.is_file():
            truth = read_truth(corpus / row["truth"]).arrays
            frames = media.iter_frames(corpus / row["video"])
            crops = [_face(frame, truth["kps"][i], side, margin) for i, _, frame in frames if i % EVERY == 0]
            with written_aside(kept) as partial, partial.open("wb") as file:
                np.savez_compressed(
                    file,
                    faces=np.stack(crops),
                    aus=truth["aus"][::EVERY],
                    articulation=truth["articulation"][::EVERY],
                )
        with np.load(kept) as saved:
            pictures.append(saved["faces"])
            aus.append(saved["aus"])
            articulation.append(saved["articulation"])
        label = (EMOTIONS.index(row["emotion"]), int(row["intensity"]), number, int(row["identity_seed"]))
        labels += [label] * len(pictures[-1])
    if not pictures:
        raise ValueError(f"{corpus} has no clips of {', '.join(splits)}")
    emotion, intensity, clip, person = np.array(labels, np.int64).T
    seen = np.concatenate(pictures)
    signs = np.concatenate(aus), np.concatenate(articulation)
    return Faces(seen, seen, *signs, emotion, intensity, clip, person)


def _face(frame: NDArray[np.uint8], kps: NDArray[np.float32], side: int, margin: int) -> NDArray[np.uint8]:
    matrix = crop_matrix(kps, side)
    matrix[:, 2] += margin
    return warp(frame, matrix, side + 2 * margin)


def expression_faces(folder: Path, side: int, margin: int, held_out: bool) -> Faces:
    """The rendered expressions of a folder: of the people held out, or of the others.

    Raises:
        FileNotFoundError: there are none.
    """
    shown = read_expressions(folder)
    chosen = shown.held_out == held_out
    rest = shown.crops.copy()
    if any(folder.glob("other-*.npz")):
        other = read_expressions(folder, other=True)
        for person in np.unique(other.identity):
            ours, theirs = shown.identity == person, other.identity == person
            if ours.sum() == theirs.sum():
                rest[ours] = other.crops[theirs]
    picked = shown.of(chosen)
    return Faces(
        _with_margin(picked.crops, side, margin),
        _with_margin(rest[chosen], side, margin),
        picked.aus,
        picked.articulation,
        picked.emotion,
        picked.intensity,
        _states(picked),
        picked.identity,
    )


def known_faces(
    corpora: Sequence[Path], kept_in: Path, expressions: Path | None = None, stills: Path | None = None
) -> Faces:
    """All faces that may be learned from: of talking corpora, of rendered expressions, and of stills of many people."""
    parts = [corpus_faces(corpus, kept_in, SIDE, MARGIN) for corpus in corpora]
    if expressions is not None:
        parts.append(expression_faces(expressions, SIDE, MARGIN, held_out=False))
    if stills is not None:
        parts.append(still_faces(stills, SIDE, MARGIN))
    return join_faces(parts)


UNNAMED = -1
"""The emotion of a face whose expression has no name."""
NAMING, SURE = 0.25, 0.7


def still_faces(folder: Path, side: int, margin: int, seed: int = 0) -> Faces:
    """The stills (tasks/training/stills.py, rendered with `seed`) of a folder, of the people that are not held out.

    Their controls are drawn again, so that their action units are known. Many people, each with unrelated movements:
    an expression has the name of the emotion whose prototype it is nearest to, or is UNNAMED where that is in doubt.

    Raises:
        FileNotFoundError: there are none.
    """
    shown, _ = read_stills(folder).split()
    pictures = [_face(frame, kps, side, margin) for frame, kps in zip(shown.frames, shown.kps, strict=True)]
    aus, articulation = [], []
    people, counts = np.unique(shown.identity, return_counts=True)  # a person's stills stand together, in this order
    for person, count in zip(people, counts, strict=True):
        rng = np.random.default_rng([seed, int(person) - STILLS_BASE])
        for start in range(0, int(count), FRAMES_A_LIGHT):
            rng.integers(2**31)  # the scene's
            controls = sample_controls(rng, min(FRAMES_A_LIGHT, int(count) - start))
            aus.append(controls.aus)
            articulation.append(controls.articulation)
    seen, units = np.stack(pictures), np.concatenate(aus)
    emotion, intensity = np.array([_named(row) for row in units], np.int64).T
    return Faces(
        seen, seen, units, np.concatenate(articulation), emotion, intensity, np.arange(len(seen)), shown.identity
    )


def _named(aus: NDArray[np.float32]) -> tuple[int, int]:
    """Emotion and intensity of the prototype that action units [20] are nearest to; (UNNAMED, 0) where in doubt.

    As if each unit strayed from the prototype by a normal deviation of NAMING: the emotion must have SURE of the
    probability. Closed eyes do not count.
    """
    open_eyed = np.array([not name.startswith("AU43") for name in AUS])
    apart = np.full((len(EMOTIONS), 4), np.inf)
    for number, emotion in enumerate(EMOTIONS):
        for level in (0,) if number == 0 else (1, 2, 3):
            apart[number, level] = np.square(aus - emotion_aus(emotion, level))[open_eyed].sum()
    nearest = apart.min(axis=1)
    share = np.exp((nearest.min() - nearest) / (2 * NAMING**2))
    if share.max() < SURE * share.sum():
        return UNNAMED, 0
    number = int(share.argmax())
    return number, int(apart[number].argmin())


def _states(shown: Expressions) -> NDArray[np.int64]:
    keys = np.stack([shown.identity, shown.emotion, shown.intensity], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _with_margin(crops: NDArray[np.uint8], side: int, margin: int) -> NDArray[np.uint8]:
    """Crops [N,128,128,3] → [N, side + 2 margin, …] with their rim repeated."""
    edges = (margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    small = (cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops)
    return np.stack([cv2.copyMakeBorder(crop, *edges) for crop in small]) if len(crops) else crops


@cache
def region(side: int, margin: int = 0) -> NDArray[np.float32]:
    """float32 [S,S,1], S = side + 2 margin: what dubbing repaints of a crop of `side`, its edge soft."""
    mask = cv2.GaussianBlur(dub_mask(side), (0, 0), side / 64)
    return np.asarray(np.pad(mask, margin)[..., None], np.float32)


def lower_only(pictures: NDArray[np.uint8], margin: int = 0) -> NDArray[np.uint8]:
    """Pictures [...,S,S,3] with grey for all that dubbing leaves alone."""
    mask = region(pictures.shape[-2] - 2 * margin, margin)
    return np.asarray(pictures * mask + GREY * (1 - mask) + 0.5, np.uint8)


def composed(lower: NDArray[np.uint8], upper: NDArray[np.uint8], margin: int = 0) -> NDArray[np.uint8]:
    """Pictures [...,S,S,3]: what dubbing repaints from the first, the rest from the second."""
    mask = region(lower.shape[-2] - 2 * margin, margin)
    return np.asarray(lower * mask + upper * (1 - mask) + 0.5, np.uint8)


def inner(pictures: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    """Pictures [N,S,S,3] without their margin."""
    return np.ascontiguousarray(pictures[:, margin:-margin, margin:-margin]) if margin else pictures


def vary(face: NDArray[np.uint8], margin: int, rng: np.random.Generator, mirror: bool) -> NDArray[np.uint8]:
    """A face [S,S,3] with its margin → [side,side,3] as another detector, camera and light give it, and on another
    skull: a little wider or longer, paler or more colourful.
    """
    big = face.shape[0]
    side = big - 2 * margin
    angle = rng.normal(0, 0.05)
    size = float(np.exp(rng.normal(0, 0.05))) * np.exp(rng.normal(0, 0.04, 2))
    rotation = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirror:
        rotation[0] *= -1
    target = np.full(2, side / 2 - 0.5) + rng.normal(0, side * 0.018, 2)
    matrix = np.concatenate([rotation, (target - rotation @ np.full(2, big / 2 - 0.5))[:, None]], axis=1)
    seen = cv2.warpAffine(face, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.3:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 1.0) * side / 64)
    if rng.random() < 0.5:
        grey, colour = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), rng.uniform(0, 1.3)
        seen = cv2.addWeighted(seen, colour, cv2.merge([grey] * 3), 1 - colour, 0)
    value = np.linspace(0, 1, 256)[:, None] ** float(np.exp(rng.normal(0, 0.2)))
    value = (value - 0.45) * float(np.exp(rng.normal(0, 0.2))) + 0.45 * np.exp(rng.normal(0, 0.12, 3))
    return np.asarray(cv2.LUT(seen, (np.clip(value, 0, 1) * 255).astype(np.uint8)[None]), np.uint8)


def fast(device: str) -> torch.autocast:
    """Compute in bfloat16 where the processor is faster so; half the time of these small nets."""
    dtype = fast_dtype(device)
    return torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32)
