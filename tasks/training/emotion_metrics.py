"""How well a face recogniser reads people that it was not trained on."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from models.emotion import FaceEmotion
from tasks.training.emotion_faces import SIDE, Faces, composed, inner, lower_only


@torch.no_grad()
def read_pictures(model: FaceEmotion, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-probabilities float32 [N,8] and intensities float32 [N] of crops uint8 [N,S,S,3]."""
    batches = (torch.from_numpy(pictures[i : i + 256]) for i in range(0, len(pictures), 256))
    read = [model(batch.permute(0, 3, 1, 2).to(model.device).float() / 255) for batch in batches]
    logs = torch.cat([logits for logits, _ in read]).log_softmax(-1)
    return logs.cpu().numpy(), torch.cat([strength for _, strength in read]).cpu().numpy()


def evaluate_face_emotion(model: FaceEmotion, faces: Faces) -> dict[str, float]:
    """How well `model` reads `faces`.

    accuracy: of single pictures; …_clear: at intensity 2 and 3 (and neutral); …_3: at intensity 3; clip_…: frames of a
    clip vote; lower_…: the lower part alone; rest_neutral_…: the lower part in a face that is neutral otherwise;
    intensity_error: mean error; intensity_order: share of pairs of one person's pictures of one emotion whose
    intensities come in the right order.
    """
    margin = (faces.pictures.shape[1] - SIDE) // 2
    whole = inner(faces.pictures, margin)
    logs, strength = read_pictures(model, whole)
    metrics = _accuracies(logs, faces) | _accuracies(read_pictures(model, lower_only(whole))[0], faces, "lower_")
    mixed = faces.mixed
    if mixed.any():
        placed = composed(whole[mixed], inner(faces.rest, margin)[mixed])
        metrics |= _accuracies(read_pictures(model, placed)[0], faces.of(mixed), "rest_neutral_")
    clips = np.unique(faces.clip)
    members = [np.flatnonzero(faces.clip == clip) for clip in clips]
    first = np.array([rows[0] for rows in members])
    if len(clips) < len(faces):
        votes = np.stack([logs[rows].mean(0) for rows in members])
        metrics |= _accuracies(votes, faces.of(first), "clip_")
    metrics["intensity_error"] = float(np.abs(strength - faces.intensity).mean())
    level = np.array([strength[rows].mean() for rows in members])
    if (order := _order(level, faces.of(first))) is not None:
        metrics["intensity_order"] = order
    return metrics | {"pictures": float(len(faces)), "people": float(len(np.unique(faces.person)))}


def _accuracies(logs: NDArray[np.float32], faces: Faces, prefix: str = "") -> dict[str, float]:
    right = logs.argmax(-1) == faces.emotion
    chosen = {
        "accuracy": np.full(len(right), True),
        "accuracy_clear": (faces.intensity >= 2) | (faces.emotion == 0),
        "accuracy_3": faces.intensity == 3,
    }
    return {f"{prefix}{name}": float(right[rows].mean()) for name, rows in chosen.items() if rows.any()}


def _order(level: NDArray[np.float64], faces: Faces) -> float | None:
    """Share of pairs with the same person and emotion whose read intensities come in the right order."""
    right: list[bool] = []
    for i, j in combinations(range(len(faces)), 2):
        alike = faces.person[i] == faces.person[j] and faces.emotion[i] == faces.emotion[j]
        if alike and faces.intensity[i] != faces.intensity[j]:
            right.append(bool((level[i] < level[j]) == (faces.intensity[i] < faces.intensity[j])))
    return float(np.mean(right)) if right else None
