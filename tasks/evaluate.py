"""The metric table of a model on held-out clips, and the gate that compares two of them.

Every number is printed with its protocol, because none of them means much without (field.md: FID is not comparable
across papers). A table is a plain dict: `metrics` (mean over clips and seeds), `spread` (their standard error),
`protocol`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.faces import FaceAnalyzer
from models.landmarks106 import kps_from, mouth_opening
from models.pipeline import DubPipeline, load_pipeline
from models.speech import encode_speech, frame_tokens, load_speech_encoder, log_mel
from models.sync import SyncExpert, measure_sync
from storage.errors import NotFound
from tasks.config import Config
from tasks.experts import load_experts
from tasks.masks import dub_mask
from tasks.quality import head_pose
from tasks.references import of_frames, spread
from tasks.training.data import Rows, TrainingClip, read_clips, rows_of

Frames = NDArray[np.uint8]
Progress = Callable[[int, int], None]

PROTOCOL = {
    "mouth_correlation": "Pearson correlation per clip of the inner lip opening in eye distances: measured by the face "
    "pack's landmarks on the rendered crops, against the clip's own; mean over clips",
    "mouth_correlation_shuffled": "the same with another clip's sound, from its middle on; should be near 0",
    "lse_c": "confidence of the configured sync expert (not SyncNet's own scale): median minus minimum distance",
    "lse_d": "minimum distance of the configured sync expert (not SyncNet's own scale)",
    "lse_c_real": "lse_c of the clips themselves",
    "identity": "cosine of the face pack's embedding of rendered frames to that of the clip's own frames",
    "fid": "Fréchet distance of the face pack's embeddings (not Inception's), rendered against real frames",
    "psnr_region": "dB in the repainted region against the clip itself (same sound, so the truth is known)",
    "flicker": "mean |second difference in time| in the repainted region, rendered over real; 1 is as steady as real",
    "faces_found": "share of rendered frames in which the face pack finds a face",
    "fps": "rendered frames a second on this machine, autoencoder included",
}
HIGHER_IS_BETTER = {
    "mouth_correlation": True,
    "lse_c": True,
    "lse_d": False,
    "identity": True,
    "fid": False,
    "psnr_region": True,
    "flicker": False,
}
GATED = ("mouth_correlation", "lse_c", "identity", "psnr_region")
"""What the gate looks at, as far as both tables have it."""


@dataclass
class _Samples:
    """Values by metric: one for each clip and seed."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **measured: float | None) -> None:
        for name, value in measured.items():
            if value is not None and math.isfinite(value):
                self.values.setdefault(name, []).append(float(value))

    def means(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self.values.items()}

    def spreads(self) -> dict[str, float]:
        return {
            name: float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
            for name, values in self.values.items()
        }


def evaluate(
    model: str | Path | DubPipeline,
    dataset: Rows,
    config: Config,
    on_progress: Progress | None = None,
    *,
    faces: FaceAnalyzer | None = None,
    sync: SyncExpert | None = None,
    shuffled: bool = True,
) -> dict[str, Any]:
    """Render held-out clips with their own sound and measure the result.

    Args:
        model: folder of a pipeline, or the pipeline.
        dataset: clips, see `tasks.training.data.rows_of`; those of split `config.evaluate.split` are taken, the first
            `config.evaluate.clips` in order of their ids, `config.evaluate.seconds` of each.
        on_progress: called as on_progress(done, total) after each rendered clip.
        faces, sync: the experts; loaded from the configuration where not given.
        shuffled: also render with another clip's sound, which must not give the clip's own lips.
    Returns:
        {"metrics": {name: mean}, "spread": {name: standard error over clips and seeds}, "protocol": [sentence...],
        "clips": ids, "frames": number rendered}. What cannot be measured (no landmarks, no recogniser, no sync expert,
        too short) is not in "metrics".
    Raises:
        NotFound: no usable clip in the split.
    """
    if faces is None or sync is None:
        experts = load_experts(config)
        faces, sync = faces or experts.faces, sync or experts.sync
    pipeline = model if isinstance(model, DubPipeline) else load_pipeline(model, _device(config))
    clips = held_out(dataset, config)
    speech = pipeline.speech_encoder or load_speech_encoder(config.audio.speech)
    features = [encode_speech(speech, clip.audio) for clip in clips]
    samples, embeddings, rendered_frames = _Samples(), _Pairs(), 0
    jobs = [(number, seed) for seed in config.evaluate.seeds for number in range(len(clips))]
    for done, (number, seed) in enumerate(jobs):
        clip, meter = clips[number], _Meter(faces, sync)
        started = time.perf_counter()
        rendered = render_clip(pipeline, clip, features[number], config, seed)
        samples.add(fps=len(rendered) / (time.perf_counter() - started))
        samples.add(**meter.measure(clip, rendered, embeddings))
        rendered_frames += len(rendered)
        if shuffled and len(clips) > 1 and "landmarks" in faces.gives:
            other = features[(number + 1) % len(clips)]
            # from its middle on: that two clips both begin with a breath of silence is no sign of sync
            other = _fitted(other.roll(-(len(other) // 2), 0), features[number])
            wrong = render_clip(pipeline, clip, other, config, seed)
            truth = clip.mouth_opening[: len(wrong)]
            samples.add(mouth_correlation_shuffled=correlation(meter.openings(wrong), truth))
        if on_progress:
            on_progress(done + 1, len(jobs))
    metrics = samples.means()
    if (distance := embeddings.distance()) is not None:
        metrics["fid"] = distance
    return {
        "metrics": metrics,
        "spread": samples.spreads(),
        "protocol": _protocol(metrics, clips, config, pipeline, embeddings, sync),
        "clips": [clip.clip_id for clip in clips],
        "frames": rendered_frames,
    }


def held_out(dataset: Rows, config: Config) -> list[TrainingClip]:
    """The clips that are rendered: cut to `config.evaluate.seconds`, the first by id.

    Raises:
        NotFound: there is none.
    """
    settings = config.evaluate
    rows = sorted(rows_of(dataset, settings.split), key=lambda row: str(row["clip_id"]))[: settings.clips]
    clips = list(read_clips(rows))
    if not clips:
        remedy = "build the dataset with more speakers, or set evaluate.split"
        raise NotFound(f"no usable clips in split {settings.split!r}", remedy)
    return clips


def shown(clip: TrainingClip, config: Config) -> TrainingClip:
    """The part of a clip that is rendered: its first `config.evaluate.seconds`."""
    count = max(2, int(np.searchsorted(clip.pts, clip.pts[0] + config.evaluate.seconds - 1e-6)))
    values = vars(clip) | {
        name: getattr(clip, name)[:count] for name in ("frames", "labels", "landmarks", "pts", "mouth_opening")
    }
    return TrainingClip(**values)


def render_clip(
    pipeline: DubPipeline, clip: TrainingClip, features: torch.Tensor, config: Config, seed: int = 0
) -> Frames:
    """The shown part of a clip, lower face repainted from `features` of a sound.

    References come from the rest of the clip, whose mouth says something else (its last frame where nothing is left):
    for each window of `config.render.window_frames` frames the one with the nearest head pose.
    """
    part, render = shown(clip, config), config.render
    made = pipeline(
        part.frames,
        dub_mask(part.frames.shape[1]),
        references_for(clip, len(part), render.window_frames, render.references),
        frame_tokens(features, part.pts, pipeline.config.audio_context),
        clip.identity,
        num_inference_steps=config.evaluate.steps,
        guidance_audio=render.guidance_audio,
        guidance_identity=render.guidance_identity,
        generator=torch.Generator().manual_seed(seed),
    )
    return np.asarray(made, np.uint8)


def references_for(clip: TrainingClip, count: int, window: int, most: int) -> Frames:
    """The reference of each of the clip's first `count` frames, uint8 [count,S,S,3], see `render_clip`."""
    poses = head_pose(kps_from(clip.landmarks))
    rest = np.arange(len(clip)) >= count
    chosen = spread(poses, rest, len(clip) - 1, most)
    references = of_frames(clip.frames, poses, chosen)
    windows = [slice(start, min(start + window, count)) for start in range(0, count, window)]
    return np.concatenate(
        [np.repeat(references.near(poses[part])[None], part.stop - part.start, axis=0) for part in windows]
    )


def _device(config: Config) -> str:
    if config.train.device != "auto":
        return config.train.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _fitted(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Features repeated or cut to the length of others."""
    times = -(-len(like) // max(1, len(features)))
    return features.repeat(times, *[1] * (features.ndim - 1))[: len(like)]


class _Meter:
    """The experts, used on crops."""

    def __init__(self, faces: FaceAnalyzer, sync: SyncExpert | None) -> None:
        self.faces, self.sync = faces, sync

    def measure(self, clip: TrainingClip, rendered: Frames, pairs: _Pairs) -> dict[str, float | None]:
        real = clip.frames[: len(rendered)]
        found = [self._face(frame) for frame in rendered]
        measured: dict[str, float | None] = {
            "faces_found": float(np.mean([face is not None for face in found])),
            "psnr_region": region_psnr(rendered, real),
            "flicker": flicker(rendered, real),
        }
        if "landmarks" in self.faces.gives:
            measured["mouth_correlation"] = correlation(_openings(found), clip.mouth_opening[: len(rendered)])
        if "embedding" in self.faces.gives:
            measured["identity"] = pairs.add(found, [self._face(frame) for frame in real[:: max(1, len(real) // 12)]])
        if self.sync is not None and len(rendered) >= 16:
            mel, pts = log_mel(clip.audio), clip.pts[: len(rendered)]
            result, own = measure_sync(rendered, pts, mel, self.sync), measure_sync(real, pts, mel, self.sync)
            measured |= {"lse_c": result.confidence, "lse_d": result.distance, "lse_c_real": own.confidence}
        return measured

    def openings(self, crops: Frames) -> NDArray[np.float64]:
        """[T] mouth opening in eye distances, NaN where no face is found."""
        return _openings([self._face(crop) for crop in crops])

    def _face(self, crop: Frames) -> Any:
        # the detector wants some room round a face
        margin = crop.shape[0] // 4
        padded = np.pad(crop, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        faces = self.faces.detect(padded, embed="embedding" in self.faces.gives)
        return max(faces, key=lambda face: face.size) if faces else None


def _openings(found: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if face is None else float(mouth_opening(face.landmarks)) for face in found])


def correlation(measured: NDArray[np.floating], truth: NDArray[np.floating]) -> float | None:
    """Pearson correlation over the frames where both are known; None where fewer than 8 are, or the mouth rests."""
    measured, truth = np.asarray(measured, np.float64), np.asarray(truth, np.float64)
    known = np.isfinite(measured) & np.isfinite(truth)
    if known.sum() < 8 or truth[known].std() < 0.01:
        return None
    if measured[known].std() < 1e-6:
        return 0.0
    return float(np.corrcoef(measured[known], truth[known])[0, 1])


def region_psnr(rendered: Frames, real: Frames) -> float:
    """PSNR in dB in the repainted region."""
    region = dub_mask(real.shape[1]) > 0.5
    error = np.square(rendered[:, region].astype(np.float64) - real[:, region]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def flicker(rendered: Frames, real: Frames) -> float | None:
    """Mean |second difference| in time in the repainted region, rendered over real; None below three frames."""
    if len(real) < 3:
        return None
    region = dub_mask(real.shape[1]) > 0.5
    ours, theirs = (np.abs(np.diff(x[:, region].astype(np.float32), n=2, axis=0)).mean() for x in (rendered, real))
    return float(ours / max(float(theirs), 1e-3))


@dataclass
class _Pairs:
    """Embeddings of rendered and of real frames, over all clips."""

    rendered: list[NDArray[np.float32]] = field(default_factory=list)
    real: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, rendered: Sequence[Any], real: Sequence[Any]) -> float | None:
        """Keep a clip's embeddings; returns the mean cosine of its rendered frames to the mean of its real ones."""
        ours = [face.embedding for face in rendered if face is not None and face.embedding is not None]
        theirs = [face.embedding for face in real if face is not None and face.embedding is not None]
        self.rendered += ours
        self.real += theirs
        if not ours or not theirs:
            return None
        centre = np.mean(theirs, axis=0)
        return float(np.mean(np.stack(ours) @ centre) / max(float(np.linalg.norm(centre)), 1e-9))

    def distance(self) -> float | None:
        """Fréchet distance × 100 (embeddings have unit length); None below 16 frames on either side."""
        if min(len(self.rendered), len(self.real)) < 16:
            return None
        return 100 * frechet_distance(np.stack(self.rendered), np.stack(self.real))


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Fréchet distance of the Gaussians fitted to features [N,D] and [M,D] (Heusel et al. 2017)."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    a, b = (x - x.mean(0) for x in (one, two))
    # tr sqrt(C1 C2) is the sum of singular values of A B^T / sqrt((N-1)(M-1)): no root of a (singular) D x D matrix is
    # needed; A and B may be replaced by their triangular factors, which have at most D rows.
    one_r, two_r = np.linalg.qr(a).R, np.linalg.qr(b).R
    cross = np.linalg.svd(one_r @ two_r.T, compute_uv=False).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    traces = np.square(a).sum() / (len(a) - 1) + np.square(b).sum() / (len(b) - 1)
    return float(np.square(one.mean(0) - two.mean(0)).sum() + traces - 2 * cross)


def _protocol(
    metrics: Mapping[str, float],
    clips: Sequence[TrainingClip],
    config: Config,
    pipeline: DubPipeline,
    pairs: _Pairs,
    sync: SyncExpert | None,
) -> list[str]:
    settings, render = config.evaluate, config.render
    lines = [
        f"{len(clips)} clips of split {settings.split!r}, {settings.seconds:g} s of each, "
        f"{pipeline.config.crop_size} px, seeds {', '.join(map(str, settings.seeds))}; ± is the standard error over "
        "clips and seeds",
        f"{settings.steps} DDIM steps, guidance: audio {render.guidance_audio:g}, identity "
        f"{render.guidance_identity:g}; reference: of {render.references} frames from the rest of the clip the nearest "
        f"head pose; face pack {config.faces.pack!r}, sync expert {config.audio.sync!r}",
    ]
    lines += [f"{name}: {text}" for name, text in PROTOCOL.items() if name in metrics]
    if "fid" in metrics:
        lines.append(f"fid is × 100, of {len(pairs.rendered)} rendered and {len(pairs.real)} real frames")
    if missing := sorted(set(PROTOCOL) - set(metrics)):
        lines.append(f"not measured: {', '.join(missing)}")
    return lines


def better(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, config: Config) -> tuple[bool, str]:
    """The gate: is the challenger to be promoted? Both tables must come from the same clips and protocol.

    It is, if no gated metric is worse beyond the spread of the two and at least one is better by more than
    `config.evaluate.min_gain` (of its value). Without a champion anything is better.

    Returns:
        the decision and the sentence that says why.
    """
    if champion is None:
        return True, "there is no champion yet"
    if challenger["clips"] != champion["clips"]:
        return False, "the two were measured on different clips"
    gains, worse = [], []
    for name in GATED:
        if name not in challenger["metrics"] or name not in champion["metrics"]:
            continue
        new, old = challenger["metrics"][name], champion["metrics"][name]
        gain = (new - old) if HIGHER_IS_BETTER[name] else (old - new)
        spread = math.hypot(challenger["spread"].get(name, 0.0), champion["spread"].get(name, 0.0))
        words = f"{name} {old:.3f} → {new:.3f}"
        if gain < -spread:
            worse.append(words)
        elif gain > abs(old) * config.evaluate.min_gain and gain > 0:
            gains.append(words)
    if worse:
        return False, f"worse beyond the spread: {', '.join(worse)}"
    if not gains:
        return False, "nothing is better"
    return True, f"better: {', '.join(gains)}; nothing is worse beyond the spread"
