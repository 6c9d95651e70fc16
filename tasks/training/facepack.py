"""Make the studio face pack from nothing: stills, three networks, the pack's card and its measured numbers.

The shipped pack came from a talking corpus (`tasks.studio.corpus`), whose mouths speak, and from stills of many people.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from models.faces import PACK_CARD, FaceAnalyzer
from tasks.training.detector import train_detector
from tasks.training.face_metrics import PROTOCOL, measure_face_pack
from tasks.training.faces import read_faces
from tasks.training.landmarks import train_landmarks
from tasks.training.recogniser import train_recogniser
from tasks.training.stills import render_stills

NETWORKS: dict[str, Callable[..., dict[str, float]]] = {
    "landmarks": train_landmarks,
    "recogniser": train_recogniser,
    "detector": train_detector,
}
CARD = {
    "name": "studio",
    "licence": "Apache-2.0 (trained by this project on faces it rendered itself)",
    "knows": "the studio's rendered people; it has never seen a real face",
}
METRICS = "metrics.json"
Log = Callable[[str], None]


def train_face_pack(
    out: Path,
    stills: Path,
    corpus: Path | None = None,
    identities: int = 300,
    per_identity: int = 8,
    minutes: float = 8.0,
    steps: int | None = None,
    networks: tuple[str, ...] = tuple(NETWORKS),
    device: str = "cpu",
    seed: int = 0,
    size: int = 112,
    workers: int = 1,
    log: Log = print,
) -> dict[str, object]:
    """Render the stills that are missing, train ``networks`` for ``minutes`` (or ``steps``) each, measure the pack.

    Writes the ONNX files, the pack's card and metrics.json into ``out``; networks not named keep their files.
    ``corpus`` is a talking corpus to learn from beside the stills. Returns what
    metrics.json holds.

    Raises ValueError for an unknown network.
    """
    unknown = set(networks) - set(NETWORKS)
    if unknown:
        raise ValueError(f"no such network: {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    log(f"stills: {identities} people x {per_identity} frames of {size} px in {stills}")
    for count, _ in enumerate(render_stills(stills, identities, per_identity, size, seed, workers, device), 1):
        if count % 50 == 0:
            log(f"stills: {count} of {identities} people")
    path = out / METRICS
    record: dict[str, object] = json.loads(path.read_text()) if path.is_file() else {}
    training = record.setdefault("training", {})
    assert isinstance(training, dict)
    frames = [stills] if corpus is None else [corpus, stills]
    for name in networks:

        def report(step: int, progress: float, parts: dict[str, float], name: str = name) -> None:
            losses = " ".join(f"{key} {value:.4f}" for key, value in parts.items())
            log(f"{name}: step {step}, {progress:.0%}, {losses}")

        spend = None if steps is not None else minutes
        training[name] = NETWORKS[name](frames, out, steps, spend, device, seed, report=report)
    (out / PACK_CARD).write_text(json.dumps(CARD, indent=2) + "\n")
    if len(list(out.glob("*.onnx"))) == len(NETWORKS):
        record |= measure(out, stills, corpus, seed)
        log(json.dumps(record, indent=2))
    path.write_text(json.dumps(record, indent=2) + "\n")
    return record


def measure(pack: Path, stills: Path, corpus: Path | None = None, seed: int = 0) -> dict[str, object]:
    """The pack's numbers on people held out, of the stills and (where there is one) of the talking corpus."""
    sources = {"stills": stills} if corpus is None else {"stills": stills, "corpus": corpus}
    analyzer = FaceAnalyzer(pack)
    metrics = {
        name: measure_face_pack(analyzer, read_faces(folder).split()[1], seed) for name, folder in sources.items()
    }
    return {"protocol": PROTOCOL, "metrics": metrics}
