"""Train the 106-landmark net on insightface's crops of studio heads and write it into a face pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.facepack import PACK_FILES, LandmarkNet, export_landmarker
from models.facepack.landmarker import CROP_SCALE, INPUT_MEAN, INPUT_SIZE, INPUT_STD, POINTS, heat_loss, wing_loss
from models.facepack.warm_start import load_folded
from models.landmarks106 import INNER_LOWER, INNER_UPPER, MOUTH
from tasks.training.composites import change_background, move, similarity
from tasks.training.expert_loop import Budget, placed, train_expert
from tasks.training.faces import read_training_faces
from tasks.training.photometric import degrade, recolour
from tasks.training.stills import Stills

Image = NDArray[np.uint8]
Report = Callable[[int, float, dict[str, float]], None]
BOX_SHIFT, BOX_SCALE = 0.05, 0.07  # spread of a detector's box round the true one, in box sides
WARM_RATE = 8e-4
SMALLEST_FACE = 36  # pixels; below this lips are a guess


def landmark_crop(
    rng: np.random.Generator, frame: Image, alpha: Image, landmarks: NDArray[np.float32], bbox: NDArray[np.float32]
) -> tuple[Image, NDArray[np.float32]]:
    """One training crop uint8 RGB [192,192,3] and its landmarks float32 [106,2] in -1..1.

    The crop is insightface's (a square of 1.5 x the longer side round the box's middle) for a box as wrong as a
    detector's, turned a little, and now and then taken from a smaller picture, as faces in a wide shot are.
    """
    if rng.random() < 0.7:
        frame = change_background(rng, frame, alpha)
    side = float((bbox[2:] - bbox[:2]).max())
    if rng.random() < 0.5:
        shrink = float(np.clip(rng.uniform(SMALLEST_FACE, 1.2 * side) / side, 0.1, 1.0))
        small = max(8, round(len(frame) * shrink))
        shrink = small / len(frame)
        frame = np.asarray(cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA), np.uint8)
        landmarks = (landmarks + 0.5) * shrink - 0.5
        bbox, side = (bbox + 0.5) * shrink - 0.5, side * shrink
    frame = degrade(rng, recolour(rng, frame), 0.7)
    if rng.random() < 0.25:
        frame = _cut_close(rng, frame, bbox)
    middle = (bbox[:2] + bbox[2:]) / 2 + rng.normal(0, BOX_SHIFT, 2).clip(-0.12, 0.12) * side
    scale = INPUT_SIZE / (side * float(np.exp(np.clip(rng.normal(0, BOX_SCALE), -0.18, 0.18))) * CROP_SCALE)
    matrix = similarity(scale, float(rng.normal(0, 0.12)), middle, np.full(2, INPUT_SIZE / 2))
    crop = cv2.warpAffine(frame, matrix, (INPUT_SIZE, INPUT_SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8), move(landmarks, matrix) / (INPUT_SIZE / 2) - 1


def _cut_close(rng: np.random.Generator, frame: Image, bbox: NDArray[np.float32]) -> Image:
    """The picture ends near the face, as an aligned crop or a portrait does: black beyond, as insightface fills it."""
    side = float((bbox[2:] - bbox[:2]).max())
    low = np.clip(bbox[:2] - side * rng.uniform(-0.15, 0.25, 2), 0, None).astype(int)
    high = (bbox[2:] + side * rng.uniform(-0.1, 0.25, 2)).astype(int)
    cut = np.zeros_like(frame)
    cut[low[1] : high[1], low[0] : high[0]] = frame[low[1] : high[1], low[0] : high[0]]
    return cut


def landmark_batch(
    rng: np.random.Generator, sources: Sequence[Stills], batch: int, device: str
) -> tuple[Tensor, Tensor]:
    """Crops [B,3,192,192] as insightface would feed them and landmarks [B,106,2] in -1..1; sources take equal turns."""
    crops, truths = [], []
    for turn in range(batch):
        stills = sources[turn % len(sources)]
        row = int(rng.integers(len(stills)))
        crop, truth = landmark_crop(rng, stills.frames[row], stills.alpha[row], stills.landmarks[row], stills.bbox[row])
        crops.append(crop)
        truths.append(truth)
    pixels = torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2)
    return (pixels.float() - INPUT_MEAN) / INPUT_STD, torch.from_numpy(np.stack(truths)).to(device)


def point_weights() -> Tensor:
    """Weights [106,1]: lips count three times, since the mouth's opening is what later stages are judged by."""
    weights = torch.ones(POINTS, 1)
    weights[list(MOUTH)] = 3.0
    return weights / weights.mean()


def train_landmarks(
    corpus: Path | Sequence[Path],
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 24,
    init: Path | None = None,
    report: Report | None = None,
) -> dict[str, float]:
    """Train on the stills or the talking corpus in ``corpus``, or on several; write OUT/lmk_studio.onnx.

    People held out are not touched. A talking corpus teaches the mouths of speech, stills the shapes of many faces.
    ``init`` is a landmark file of this network to go on from.

    Returns the running means of the losses. Raises FileNotFoundError without stills, ValueError without a budget.
    """
    budget = Budget(steps, minutes)
    sources = read_training_faces(corpus)
    rng = np.random.default_rng([seed, 2])
    torch.manual_seed(seed)
    net = LandmarkNet()
    if init is not None:
        load_folded(net, init, landmark_batch(rng, sources, 64, "cpu")[0])
    net = placed(net, device)
    weights = point_weights().to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        crops, truth = landmark_batch(rng, sources, batch, device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            flat, heat = net.read(crops.contiguous(memory_format=torch.channels_last))
        predicted = flat.float().view(-1, POINTS, 2)
        point_loss = (wing_loss(predicted - truth) * weights).mean()
        gap = predicted[:, INNER_LOWER] - predicted[:, INNER_UPPER]
        gap_loss = wing_loss(gap - (truth[:, INNER_LOWER] - truth[:, INNER_UPPER])).mean()
        map_loss = (heat_loss(heat, truth) * weights[:, 0]).mean()
        parts = {"points": point_loss.item(), "opening": gap_loss.item(), "heat": map_loss.item()}
        return 10.0 * (point_loss + gap_loss) + 0.5 * map_loss, parts

    metrics = train_expert(net, loss_of_batch, budget, peak_rate=2e-3 if init is None else WARM_RATE, report=report)
    export_landmarker(net.cpu(), out / PACK_FILES["landmark_2d_106"])
    return metrics
