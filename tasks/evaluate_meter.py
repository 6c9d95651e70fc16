"""The experts that look at rendered crops: faces, lips against sound, expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.action_unit_reader import ActionUnitReader
from models.emotion import EMOTIONS, FaceEmotion
from models.faces import FaceAnalyzer
from models.hsemotion import HSEmotion
from models.landmarks106 import mouth_opening
from models.sync import SyncExpert, SyncResult
from models.syncnet import SyncNet, measure_lips
from tasks.emotion import face_emotion
from tasks.evaluate_measures import Frames, Vectors, correlation, embeddings, flicker, mean_cosine, region_psnr
from tasks.training.data import TrainingClip

MIN_SYNC_FRAMES = 16
LAST_FRAMES = 12
"""Of a clip, which say who it shows: they are not rendered, or last."""


@dataclass
class Meter:
    """Measures renderings of clips; what an expert would tell is left out where it is None.

    Attributes:
        judge: a recogniser that took no part in training the model.
        identities, units: what was seen so far, for the Fréchet distances.
        people: what `person` found, by clip_id.
    """

    faces: FaceAnalyzer
    sync: SyncExpert | SyncNet | None = None
    judge: FaceEmotion | HSEmotion | None = None
    reader: ActionUnitReader | None = None
    identities: Vectors = field(default_factory=Vectors)
    units: Vectors = field(default_factory=Vectors)
    people: dict[str, NDArray[np.float32] | None] = field(default_factory=dict)

    def measure(self, clip: TrainingClip, rendered: Frames) -> dict[str, float | None]:
        """All that one rendering with the clip's own sound tells."""
        real = clip.frames[: len(rendered)]
        found = self.look(rendered)
        measured: dict[str, float | None] = {
            "faces_found": float(np.mean([face is not None for face in found])),
            "psnr_region": region_psnr(rendered, real),
            "flicker": flicker(rendered, real),
        }
        if "landmarks" in self.faces.gives:
            measured["mouth_correlation"] = correlation(_openings(found), clip.mouth_opening[: len(rendered)])
        if "embedding" in self.faces.gives:
            ours, theirs = embeddings(found), self.identity(real[:: max(1, len(real) // 12)])
            self.identities.add(clip.clip_id, ours, theirs)
            measured["identity"] = mean_cosine(ours, theirs)
        if (result := self.lips(clip, rendered)) is not None and (own := self.lips(clip, real)) is not None:
            measured |= {"lse_c": result.confidence, "lse_d": result.distance, "lse_c_real": own.confidence}
        if self.reader is not None:
            self.units.add(clip.clip_id, list(self.action_units(rendered)), list(self.action_units(real)))
        if self.judge is not None:
            measured["emotion_kept"] = float(self.feels(rendered) == clip.emotion)
            measured["emotion_real"] = float(self.feels(real) == clip.emotion)
        return measured

    def look(self, crops: Frames) -> list[Any]:
        """The largest face of each crop, or None."""
        return [self._face(crop) for crop in crops]

    def openings(self, crops: Frames) -> NDArray[np.float64]:
        """[T] mouth opening in eye distances, NaN where no face is found."""
        return _openings(self.look(crops))

    def identity(self, crops: Frames) -> list[NDArray[np.float32]]:
        """Unit embeddings of the faces that are found."""
        return embeddings(self.look(crops))

    def person(self, clip: TrainingClip) -> NDArray[np.float32] | None:
        """The mean embedding [512] of a clip's last frames, worked out once; None where no face is found in them."""
        if clip.clip_id not in self.people:
            found = self.identity(clip.frames[-LAST_FRAMES:])
            self.people[clip.clip_id] = np.mean(found, axis=0) if found else None
        return self.people[clip.clip_id]

    def lips(self, clip: TrainingClip, frames: Frames) -> SyncResult | None:
        """Frames [T,S,S,3] at the clip's times against the clip's sound; None without an expert or 16 frames."""
        if self.sync is None or len(frames) < MIN_SYNC_FRAMES:
            return None
        return measure_lips(frames, clip.pts[: len(frames)], clip.audio, self.sync)

    def feels(self, frames: Frames) -> str:
        """What the judge reads: 16 frames vote."""
        assert self.judge is not None
        return face_emotion(list(frames), self.judge).emotion

    @torch.no_grad()
    def strength(self, frames: Frames, emotion: str) -> float:
        """The judge's mean log-probability of `emotion` (of EMOTIONS) plus its intensity: how much of it shows."""
        assert self.judge is not None
        logits, level = self.judge(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
        share = logits.log_softmax(-1)[:, EMOTIONS.index(emotion)]
        return float(level.mean() + share.mean())

    @torch.no_grad()
    def probability(self, frames: Frames, emotion: str) -> float:
        """The judge's mean probability of `emotion` (of EMOTIONS) in frames [T,S,S,3]."""
        assert self.judge is not None
        logits, _ = self.judge(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
        return float(logits.softmax(-1)[:, EMOTIONS.index(emotion)].mean())

    def action_units(self, frames: Frames) -> NDArray[np.float32]:
        """Intensities float32 [T,20]."""
        assert self.reader is not None
        return np.asarray(self.reader.read(torch.from_numpy(frames).permute(0, 3, 1, 2)).numpy(), np.float32)

    def _face(self, crop: Frames) -> Any:
        # the detector wants some room round a face
        margin = crop.shape[0] // 4
        padded = np.pad(crop, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        faces = self.faces.detect(padded, embed="embedding" in self.faces.gives)
        return max(faces, key=lambda face: face.size) if faces else None


def _openings(found: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if face is None else float(mouth_opening(face.landmarks)) for face in found])
