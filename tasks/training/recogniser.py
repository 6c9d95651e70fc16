"""Train the studio face recogniser on aligned studio heads and write it into a face pack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.facepack import PACK_FILES, CosineMargin, FaceEmbedder, export_embedder
from models.facepack.embedder import INPUT_MEAN, INPUT_SIZE, INPUT_STD
from tasks.training.composites import change_background
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.faces import read_faces
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
    return degrade(rng, recolour(rng, face), 0.6)


def recogniser_batch(
    rng: np.random.Generator, stills: Stills, classes: NDArray[np.int64], batch: int, device: str
) -> tuple[Tensor, Tensor]:
    """Faces [B,3,112,112] as insightface would feed them and class numbers [B]."""
    rows = rng.integers(len(stills), size=batch)
    faces = [aligned_face(rng, stills.frames[row], stills.alpha[row], stills.kps[row]) for row in rows]
    pixels = torch.from_numpy(np.stack(faces)).to(device).permute(0, 3, 1, 2)
    return (pixels.float() - INPUT_MEAN) / INPUT_STD, torch.from_numpy(classes[rows]).to(device)


def train_recogniser(
    corpus: Path,
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 64,
    report: Report | None = None,
) -> dict[str, float]:
    """Train on the people of a stills folder or a talking corpus that are not held out; write OUT/rec_studio.onnx.

    Returns the running means of the loss. Raises FileNotFoundError without stills, ValueError without a budget.
    """
    budget = Budget(steps, minutes)
    stills, _ = read_faces(corpus).split()
    people, classes = np.unique(stills.identity, return_inverse=True)
    rng = np.random.default_rng([seed, 3])
    torch.manual_seed(seed)
    net = FaceEmbedder().to(device, memory_format=torch.channels_last)
    margin = CosineMargin(len(people)).to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        faces, identity = recogniser_batch(rng, stills, classes.astype(np.int64), batch, device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            embedding = net(faces.contiguous(memory_format=torch.channels_last))
        # The margin grows in over the first third: from a random start a full one only pushes everything together.
        return margin(embedding.float(), identity, margin.margin * min(1.0, 3 * progress)), {}

    metrics = train_expert(net, loss_of_batch, budget, peak_rate=3e-3, weight_decay=0.05, also=margin, report=report)
    export_embedder(net.cpu(), out / PACK_FILES["recognition"])
    return {**metrics, "identities": float(len(people))}
