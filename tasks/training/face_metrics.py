"""How good a face pack is: measured through insightface, on people it has never seen, against the truth."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.faces import Face, FaceAnalyzer
from models.landmarks106 import eye_distance, mouth_opening
from tasks.training.backdrops import backdrop
from tasks.training.composites import move, move_box, paste, similarity
from tasks.training.photometric import degrade
from tasks.training.stills import Stills

CANVAS = (288, 512)  # height, width of the pictures, those of a small video
FACE_PIXELS = (40.0, 230.0)  # longer side of the face's box in them
MATCH_IOU = 0.5
PROTOCOL = (
    "held-out people; each frame pasted at a random place, turned by N(0, 6 degrees), face 40-230 px, on a random "
    "512x288 backdrop with mild blur, noise and JPEG; read by insightface's FaceAnalysis at score >= 0.5; a face "
    "counts as found at IoU >= 0.5; landmark error = mean distance of 106 points / distance of the eyes; identity over "
    "all pairs of found faces"
)


@dataclass
class _Tally:
    faces: int = 0
    found: int = 0
    extra: int = 0
    errors: list[float] = field(default_factory=list)
    lip_errors: list[float] = field(default_factory=list)
    openings: list[tuple[float, float]] = field(default_factory=list)
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    seconds: float = 0.0


def intersection_over_union(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """IoU of two boxes [4]."""
    inner = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
    return inner / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - inner)


def place(
    rng: np.random.Generator, stills: Stills, row: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A picture with one head: frame uint8 RGB [288,512,3], box [4], landmarks [106,2]."""
    height, width = CANVAS
    box = stills.bbox[row]
    face = float(np.exp(rng.uniform(np.log(FACE_PIXELS[0]), np.log(FACE_PIXELS[1]))))
    scale = face / float((box[2:] - box[:2]).max())
    margin = face * 0.55
    target = rng.uniform([margin, margin], [width - margin, height - margin])
    matrix = similarity(scale, float(rng.normal(0, 0.105)), (box[:2] + box[2:]) / 2, target)
    frame = paste(backdrop(rng, height, width), stills.frames[row], stills.alpha[row], matrix)
    return degrade(rng, frame, 0.3), move_box(box, matrix), move(stills.landmarks[row], matrix)


def _score(tally: _Tally, faces: list[Face], box: NDArray[np.float32], truth: NDArray[np.float32], person: int) -> None:
    tally.faces += 1
    ranked = sorted(faces, key=lambda face: -intersection_over_union(face.bbox, box))
    hit = ranked[0] if ranked and intersection_over_union(ranked[0].bbox, box) >= MATCH_IOU else None
    tally.extra += len(faces) - (hit is not None)
    if hit is None:
        return
    tally.found += 1
    eyes = float(eye_distance(truth))
    distances = np.linalg.norm(hit.landmarks - truth, axis=-1) / eyes
    tally.errors.append(float(distances.mean()))
    tally.lip_errors.append(float(distances[52:72].mean()))
    tally.openings.append((float(mouth_opening(hit.landmarks)), float(mouth_opening(truth))))
    if hit.embedding is not None:
        tally.embeddings.append(hit.embedding)
        tally.people.append(person)


def verification(embeddings: NDArray[np.float32], people: NDArray[np.int64]) -> dict[str, float]:
    """True accepts at 1 % and at 0.1 % false accepts over all pairs, the former's threshold (cosine), pair counts."""
    cosine = embeddings @ embeddings.T
    same = people[:, None] == people[None]
    pair = np.triu(np.ones_like(same), 1)
    genuine, impostor = cosine[same & pair], cosine[~same & pair]
    strict, loose = np.quantile(impostor, 0.999), np.quantile(impostor, 0.99)
    return {
        "true_accepts_at_1pct": float((genuine > loose).mean()),
        "true_accepts_at_0.1pct": float((genuine > strict).mean()),
        "cosine_at_1pct": float(loose),
        "genuine_cosine": float(genuine.mean()),
        "impostor_cosine": float(impostor.mean()),
        "genuine_pairs": float(len(genuine)),
        "impostor_pairs": float(len(impostor)),
    }


def measure_face_pack(analyzer: FaceAnalyzer, held_out: Stills, seed: int = 0, empty: int = 300) -> dict[str, float]:
    """The pack's numbers on held-out stills and on ``empty`` face-free pictures (protocol: `PROTOCOL`).

    recall and errors are shares (0.01 = 1 %), false_positives are detections per face-free picture,
    opening_correlation is Pearson's between measured and true mouth opening, milliseconds is the mean time of one
    picture.
    """
    rng = np.random.default_rng([seed, 4])
    tally = _Tally()
    for row in range(len(held_out)):
        frame, box, truth = place(rng, held_out, row)
        started = time.perf_counter()
        faces = analyzer.detect(frame)
        tally.seconds += time.perf_counter() - started
        _score(tally, faces, box, truth, int(held_out.identity[row]))
    false_positives = sum(len(analyzer.detect(backdrop(rng, *CANVAS), embed=False)) for _ in range(empty))
    metrics = {
        "faces": float(tally.faces),
        "people": float(len(np.unique(held_out.identity))),
        "recall": tally.found / tally.faces,
        "extra_detections": tally.extra / tally.faces,
        "false_positives": false_positives / empty,
        "milliseconds": 1000 * tally.seconds / tally.faces,
    }
    if tally.found and "landmarks" in analyzer.gives:
        measured, true = np.array(tally.openings).T
        metrics["landmark_error"] = float(np.mean(tally.errors))
        metrics["landmark_error_p90"] = float(np.quantile(tally.errors, 0.9))
        metrics["lip_error"] = float(np.mean(tally.lip_errors))
        metrics["opening_correlation"] = float(np.corrcoef(measured, true)[0, 1])
        metrics["opening_error"] = float(np.abs(measured - true).mean())
    if 1 < len(set(tally.people)) < len(tally.people):  # both kinds of pairs exist
        metrics |= verification(np.stack(tally.embeddings), np.array(tally.people, np.int64))
    return metrics
