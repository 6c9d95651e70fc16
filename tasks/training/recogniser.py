"""Train the studio face recogniser on aligned studio heads and write it into a face pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from models.facepack import PACK_FILES, CosineMargin, FaceEmbedder, export_embedder
from models.facepack.embedder import INPUT_MEAN, INPUT_SIZE, INPUT_STD
from models.facepack.warm_start import load_folded
from tasks.training.composites import change_background
from tasks.training.expert_loop import Budget, placed, train_expert
from tasks.training.faces import read_training_faces
from tasks.training.photometric import degrade, recolour
from tasks.training.stills import Stills

Image = NDArray[np.uint8]
Report = Callable[[int, float, dict[str, float]], None]
POINT_SPREAD = 0.03  # spread of a detector's points round the true ones, in eye distances

# Where ArcFace's 112 px template puts the five points (insightface, utils/face_align.py).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)


def similarity_fit(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares similarity [2,3] between points [N,2] (Umeyama 1991), as insightface's alignment."""
    from_mean, to_mean = source.mean(0), target.mean(0)
    a, b = (source - from_mean) @ np.array([1, 1j]), (target - to_mean) @ np.array([1, 1j])
    turn = (np.conj(a) @ b) / (np.conj(a) @ a).real
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.concatenate([rotation, (to_mean - rotation @ from_mean)[:, None]], 1)


def aligned_face(rng: np.random.Generator, frame: Image, alpha: Image, kps: NDArray[np.float32]) -> Image:
    """One training face uint8 RGB [112,112,3], aligned by points as wrong as a detector's."""
    if rng.random() < 0.8:
        frame = change_background(rng, frame, alpha)
    if rng.random() < 0.4:
        small = int(rng.uniform(0.3, 1.0) * len(frame))
        kps = (kps + 0.5) * (small / len(frame)) - 0.5
        frame = np.asarray(cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA), np.uint8)
    spread = POINT_SPREAD * float(np.linalg.norm(kps[1] - kps[0]))
    matrix = similarity_fit(kps + rng.normal(0, spread, kps.shape), TEMPLATE)
    face = np.asarray(cv2.warpAffine(frame, matrix, (INPUT_SIZE, INPUT_SIZE), flags=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.5:
        face = np.ascontiguousarray(face[:, ::-1])
    return degrade(rng, recolour(rng, face) if rng.random() < 0.6 else face, 0.6)


@dataclass(frozen=True)
class People:
    """Where each person's frames are: for person i of P, ``rows[i]`` of ``sources[source[i]]``."""

    sources: Sequence[Stills]
    source: list[int]
    rows: list[NDArray[np.int64]]

    @classmethod
    def of(cls, sources: Sequence[Stills]) -> People:
        """All people of the sources; the same number in two sources is the same person only if the seeds are."""
        source, rows = [], []
        for index, stills in enumerate(sources):
            for person in np.unique(stills.identity):
                source.append(index)
                rows.append(np.flatnonzero(stills.identity == person))
        return cls(sources, source, rows)

    def face(self, rng: np.random.Generator, person: int) -> Image:
        """A training face of person i."""
        stills, row = self.sources[self.source[person]], int(rng.choice(self.rows[person]))
        return aligned_face(rng, stills.frames[row], stills.alpha[row], stills.kps[row])


def recogniser_batch(
    rng: np.random.Generator, people: People, batch: int, device: str, who: NDArray[np.int64] | None = None
) -> tuple[Tensor, Tensor]:
    """Faces [B,3,112,112] as insightface would feed them and the people's numbers [B]: ``who``, or drawn evenly."""
    chosen = rng.integers(len(people.rows), size=batch) if who is None else who
    pixels = torch.from_numpy(np.stack([people.face(rng, int(person)) for person in chosen])).to(device)
    return (pixels.permute(0, 3, 1, 2).float() - INPUT_MEAN) / INPUT_STD, torch.from_numpy(chosen).to(device)


@torch.no_grad()
def _class_centres(rng: np.random.Generator, net: FaceEmbedder, people: People) -> Tensor:
    """What a trained net makes of two faces of each person, [P,512]: where a classifier over them best starts."""
    everyone = np.arange(len(people.rows))
    groups = np.array_split(everyone, min(16, len(everyone)))
    parts = [recogniser_batch(rng, people, 0, "cpu", np.repeat(group, 2))[0] for group in groups]
    embedded = torch.cat([normalize(net.eval()(part)) for part in parts])
    return embedded.reshape(len(everyone), 2, -1).mean(1)


def train_recogniser(
    corpus: Path | Sequence[Path],
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 64,
    init: Path | None = None,
    report: Report | None = None,
) -> dict[str, float]:
    """Train on the people of stills, a talking corpus or both that are not held out; write OUT/rec_studio.onnx.

    ``init`` is a recogniser file of this network to go on from: new people can join an old recogniser.
    Returns the running means of the loss. Raises FileNotFoundError without stills, ValueError without a budget.
    """
    budget = Budget(steps, minutes)
    people = People.of(read_training_faces(corpus))
    rng = np.random.default_rng([seed, 3])
    torch.manual_seed(seed)
    net = FaceEmbedder()
    if init is not None:
        load_folded(net, init, recogniser_batch(rng, people, 128, "cpu")[0])
    margin = CosineMargin(len(people.rows))
    if init is not None:
        margin.weight.data.copy_(_class_centres(rng, net, people))
    net, margin = placed(net, device), margin.to(device)

    rate = 3e-3 if init is None else 1.5e-3

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        faces, identity = recogniser_batch(rng, people, batch, device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            embedding = net(faces.contiguous(memory_format=torch.channels_last))
        # The margin grows in over the first third: from a random start a full one only pushes everything together.
        return margin(embedding.float(), identity, margin.margin * min(1.0, 3 * progress)), {}

    metrics = train_expert(net, loss_of_batch, budget, peak_rate=rate, weight_decay=0.05, also=margin, report=report)
    export_embedder(net.cpu(), out / PACK_FILES["recognition"])
    return {**metrics, "identities": float(len(people.rows))}
