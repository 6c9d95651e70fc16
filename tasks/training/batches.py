"""Batches drawn from cached latents (`tasks.training.latents`): single frames, or windows of frames that follow each
other. What a sample is depends on its own generator alone, so a batch can be drawn in parts anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from models.action_units import AUS
from models.conventions import Conventions
from models.emotion import EMOTIONS
from models.speech import frame_tokens
from tasks.masks import eye_region, face_middle, model_mask
from tasks.references import nearest
from tasks.training.placement import Region, region_in
from tasks.voice import ENDS

LIKE_POSE = 0.75
"""Share of the samples whose reference is turned as they are."""
CANDIDATES = 8
"""Frames among which such a reference is looked for: about as many as a renderer keeps."""
OTHER_TAKE = 0.85
"""Share of the samples whose reference is from another clip of their scene, where there is one: another expression."""
SAME_PERSON = 0.35
"""Cosine of their identities from which two clips show one person (as `tracks.same_person`): a scene's mirror image is
another scene, but nobody else."""
REFERENCE_GAP_S = 0.5
"""A reference of the same clip is at least so far away, if there is a frame: its mouth must not give the answer."""


@dataclass
class LatentBatch:
    """B samples (of windows: clips x window, one clip after the other).

    latents, masked, reference float32 [B,4,h,w]; mask [B,1,S,S], 1 where to generate; lips, eyes [B,1,h,w] in 0..1;
    own [B,1,h,w], 1 where `latents` are what is wanted: everywhere, but of a face in other surroundings its middle, and
    of a crop that was cut anew what the stored one covers;
    audio_tokens [B,N,D]; identity [B,512], has_identity [B] 0 or 1; action_units [B,20], has_action_units [B];
    face uint8 [B,3,96,96]: the reference in small; emotion, intensity int64 [B]: what the face shows (index into
    EMOTIONS); clip int64 [B]: the number of its file.
    """

    latents: Tensor
    masked: Tensor
    mask: Tensor
    reference: Tensor
    lips: Tensor
    eyes: Tensor
    own: Tensor
    audio_tokens: Tensor
    identity: Tensor
    has_identity: Tensor
    action_units: Tensor
    has_action_units: Tensor
    face: Tensor
    emotion: Tensor
    intensity: Tensor
    clip: Tensor

    def to(self, device: torch.device | str) -> LatentBatch:
        """The batch on another device."""
        return LatentBatch(**{name: value.to(device) for name, value in vars(self).items()})


class LatentFiles:
    """Files of cached clips, and which of them show a person in the same scene.

    Args:
        files: see `tasks.training.latents.cache_clips`.
        context: frames of sound on each side of a frame.
        size: side S of the masks.
        whole_face: share of the samples in which the whole face is to be generated, not its lower part.
        exchange: share of those in which the surroundings are those of another person, turned alike: there only the
            reference and the identity tell whose face it is. Where all clips show one person, none.
        base: for which the files were made; None: our own models.
    """

    def __init__(
        self,
        files: Sequence[Path],
        context: int = 2,
        size: int = 128,
        whole_face: float = 0.0,
        exchange: float = 0.0,
        base: Conventions | None = None,
    ) -> None:
        self.files = [Path(file) for file in files]
        self.context, self.size, self.whole_face, self.exchange = context, size, whole_face, exchange
        base = base or Conventions()
        self.alignment, self.ends = base.alignment, ENDS.get(base.kind, "repeat")
        self.moods: list[tuple[int, int]] = []
        self.captions: list[str] = []
        scenes: dict[str, list[int]] = {}
        identities = []
        for number, file in enumerate(self.files):
            with safe_open(str(file), "pt") as stored:
                about = stored.metadata() or {}
                identities.append(stored.get_tensor("identity").numpy())
            emotion, intensity = about.get("emotion", ""), int(about.get("intensity", 0))
            self.moods.append((EMOTIONS.index(emotion) if emotion in EMOTIONS else 0, intensity))
            self.captions.append(about.get("caption", ""))
            scenes.setdefault(about.get("scene", str(file)), []).append(number)
        self._takes = {number: group for group in scenes.values() for number in group}
        self._identities = np.array(identities, np.float32)

    def __len__(self) -> int:
        return len(self.files)

    def draw(self, rngs: Sequence[np.random.Generator], window: int = 1) -> LatentBatch:
        """A sample by each of `rngs`: `window` frames of a random clip that follow each other, with one reference.

        The reference is another frame of the clip, or of another clip of its scene, and more often than not the one
        of some whose head pose is nearest, as when rendering (see `tasks.references`). Only the frames that are drawn
        are read from disk. A clip shorter than the window is repeated forth and back.
        """
        samples = [self._sample(rng, window) for rng in rngs]
        return LatentBatch(**{name: torch.cat([sample[name] for sample in samples]) for name in samples[0]})

    def _sample(self, rng: np.random.Generator, window: int) -> dict[str, Tensor]:
        number = int(rng.integers(len(self.files)))
        with safe_open(str(self.files[number]), "pt") as stored:
            pts = stored.get_tensor("pts").numpy()
            first = int(rng.integers(max(1, len(pts) - window + 1)))
            frames = forth_and_back(first, window, len(pts))
            keys, whole = set(stored.keys()), rng.random() < self.whole_face
            latents = _rows(stored, "latents", frames).float()
            speech = stored.get_tensor("speech").float()
            sample = {
                "latents": latents,
                "masked": _rows(stored, "masked_face" if whole else "masked", frames).float(),
                "mask": _mask(self.alignment, self.size, whole).expand(window, -1, -1, -1),
                "lips": _rows(stored, "lips", frames).float() / 255,
                "audio_tokens": frame_tokens(speech, pts[frames], self.context, ends=self.ends),
                "identity": stored.get_tensor("identity").expand(window, -1),
                "action_units": latents.new_zeros(window, len(AUS)),
                "has_action_units": torch.full((window,), float("action_units" in keys)),
            }
            small = (latents.shape[-2], latents.shape[-1])
            sample["eyes"] = _small(self.alignment, eye_region, self.size, small).expand(window, -1, -1, -1)
            sample["own"] = latents.new_ones(window, 1, *small)
            if "own" in keys:
                sample["own"] = _rows(stored, "own", frames).float()
            sample["has_identity"] = (sample["identity"].abs().sum(1) > 0).float()
            if "action_units" in keys:
                sample["action_units"] = _rows(stored, "action_units", frames).float()
            pose = stored.get_tensor("pose").numpy()[frames].mean(0)
            sample |= self._reference(rng, number, pts, frames, pose, stored)
        if whole and rng.random() < self.exchange and len(strangers := self._strangers(number)):
            sample["masked"] = self._surroundings(rng.permutation(strangers)[:CANDIDATES], pose, window)
            sample["own"] = sample["own"] * _small(self.alignment, face_middle, self.size, small)
        for name, value in zip(("emotion", "intensity", "clip"), (*self.moods[number], number), strict=True):
            sample[name] = torch.full((window,), value)
        return sample

    def _reference(
        self, rng: np.random.Generator, number: int, pts: Any, frames: list[int], pose: Any, stored: Any
    ) -> dict[str, Tensor]:
        others = [other for other in self._takes[number] if other != number]
        if others and rng.random() < OTHER_TAKE:
            with safe_open(str(self.files[others[int(rng.integers(len(others)))]]), "pt") as take:
                return _look(take, np.arange(take.get_slice("pts").get_shape()[0]), rng, pose, len(frames))
        apart = np.abs(pts[:, None] - pts[frames]).min(axis=1)
        far = np.flatnonzero(apart >= REFERENCE_GAP_S)
        if not len(far):
            far = np.flatnonzero(apart >= 0.8 * apart.max())  # a short clip: as far as there is
        return _look(stored, far, rng, pose, len(frames))

    def _strangers(self, number: int) -> NDArray[np.intp]:
        """The files of other scenes that show another person, as far as that is known."""
        other = self._identities @ self._identities[number] < SAME_PERSON
        other[self._takes[number]] = False
        return np.flatnonzero(other)

    def _surroundings(self, others: NDArray[np.intp], pose: Any, window: int) -> Tensor:
        """What that of the files `others` shows whose face is turned most like `pose`, round it: [window,4,h,w]."""
        poses = []
        for other in others:
            with safe_open(str(self.files[other]), "pt") as stored:
                poses.append(stored.get_tensor("pose").numpy())
        counts = [len(of_clip) for of_clip in poses]
        frame = nearest(np.concatenate(poses), pose)
        clip = int(np.searchsorted(np.cumsum(counts), frame, side="right"))
        frames = forth_and_back(frame - sum(counts[:clip]), window, counts[clip])
        with safe_open(str(self.files[others[clip]]), "pt") as stored:
            return _rows(stored, "masked_face", frames).float()


def forth_and_back(first: int, window: int, count: int) -> list[int]:
    """`window` frames from `first` on; at the end of `count` frames they turn back."""
    span = max(1, 2 * (count - 1))
    steps = [(first + step) % span for step in range(window)]
    return [min(step, span - step) if count > 1 else 0 for step in steps]


def _look(stored: Any, candidates: Any, rng: np.random.Generator, pose: Any, window: int) -> dict[str, Tensor]:
    """One of the candidates as the reference of `window` frames."""
    if rng.random() < LIKE_POSE:
        some = rng.choice(candidates, min(len(candidates), CANDIDATES), replace=False)
        chosen = int(some[nearest(stored.get_tensor("pose").numpy()[some], pose)])
    else:
        chosen = int(rng.choice(candidates))
    reference = stored.get_slice("latents")[chosen].float()
    return {
        "reference": reference.expand(window, *reference.shape),
        "face": stored.get_slice("small")[chosen].expand(window, -1, -1, -1),
    }


def _rows(stored: Any, name: str, frames: list[int]) -> Tensor:
    """The rows of a tensor, read from disk in one piece."""
    low, high = min(frames), max(frames)
    return stored.get_slice(name)[low : high + 1][torch.tensor(frames) - low]


@lru_cache(maxsize=4)
def _mask(alignment: str, size: int, whole: bool) -> Tensor:
    return torch.from_numpy(model_mask(alignment, size, whole))[None, None]


@lru_cache(maxsize=4)
def _small(alignment: str, region: Region, size: int, shape: tuple[int, int]) -> Tensor:
    """A fixed region of our crop, where it lies in that of `alignment`, at the size of the latents: [1,1,h,w]."""
    where = torch.from_numpy(region_in(alignment, region, size))
    return F.interpolate(where[None, None], size=shape, mode="area")
