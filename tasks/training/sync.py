"""Trains the sync expert: sound first, then sight.

Half of the task needs no picture: which lip movement does this sound belong to? The audio tower learns that from hours
of synthesised speech and its articulation curves, in voices and rooms that no rendered corpus could afford. Then the
video tower learns, from the rendered faces of a corpus, to see the same movements. The loss is an InfoNCE over shifted
windows of the same clip (the hard part) and windows of other clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.saving import save_model
from models.speech import log_mel
from models.sync import (
    CROP,
    FPS,
    MEL_FLOOR,
    MEL_PER_FRAME,
    MOUTH,
    WINDOW,
    SyncExpert,
    TimeStack,
    distances,
    load_sync_expert,
    measure_sync,
)
from tasks.training.augment import record
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.mouths import TalkingMouth, load_mouths, show
from tasks.training.speech import Utterance, draw, make_utterances

SEGMENT = 40  # frames: 25 windows
STEPS = 800
"""What the shipped expert took, where neither steps nor minutes are given."""
SAMPLES_PER_FRAME = 16_000 // int(FPS)


class _CurveTower(nn.Module):
    """What perfect eyes would see: articulation [B, T, 6] at 25 fps → unit embeddings [B, T - 15, dim]."""

    def __init__(self, dim: int = 128, width: int = 128) -> None:
        super().__init__()
        self.lift = nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, width))
        self.time = TimeStack(width, width, dim)

    def forward(self, curves: Tensor) -> Tensor:
        return F.normalize(self.time(self.lift(curves).transpose(1, 2)).transpose(1, 2), dim=-1)


def speaking(mel: Tensor) -> Tensor:
    """Which windows have something to say: mel [B, 80, 4 T] → bool [B, T - 15], sound in at least a third of it."""
    loud = (mel.amax(dim=1) > MEL_FLOOR + 0.35).float()
    share = F.avg_pool1d(loud[:, None], WINDOW * MEL_PER_FRAME, stride=MEL_PER_FRAME)[:, 0]
    return share >= 1 / 3


def sync_loss(video: Tensor, audio: Tensor, active: Tensor, temperature: Tensor) -> Tensor:
    """InfoNCE, both ways, of windows [B, W, dim] × [B, W, dim]; `active` [B, W] says which windows count.

    The right answer is the window of the same time. Its neighbours one frame away are neither right nor wrong. Half
    of the loss asks among the windows of the clip, half among those of all clips.
    """
    clips, windows, _ = video.shape
    steps = torch.arange(windows, device=video.device)
    near = (steps[:, None] - steps).abs() == 1
    within = torch.einsum("bid,bjd->bij", video, audio) / temperature
    within = within.masked_fill(near, -1e4).flatten(0, 1)
    swapped = torch.einsum("bid,bjd->bij", audio, video) / temperature
    swapped = swapped.masked_fill(near, -1e4).flatten(0, 1)
    target = steps.repeat(clips)
    rows = active.flatten()
    v, a = video.flatten(0, 1), audio.flatten(0, 1)
    among = (v @ a.T / temperature).masked_fill(torch.block_diag(*[near] * clips), -1e4)
    everyone = torch.arange(clips * windows, device=video.device)
    losses = [
        F.cross_entropy(logits[rows], aim[rows])
        for logits, aim in ((within, target), (swapped, target), (among, everyone), (among.T, everyone))
    ]
    return torch.stack(losses).mean()


def train_hearing(
    expert: SyncExpert, utterances: list[Utterance], budget: Budget, batch_size: int = 24, seed: int = 0
) -> dict[str, float]:
    """First part: the audio tower against articulation curves. Returns what `train_expert` does."""
    rng = np.random.default_rng(seed)
    device = expert.device
    tower = _CurveTower(expert.config["dim"]).to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        pairs = [draw(utterances, rng, SEGMENT / FPS) for _ in range(batch_size)]
        mel = torch.from_numpy(np.stack([log_mel(audio) for audio, _ in pairs])).to(device)
        curves = torch.from_numpy(np.stack([c[::2] for _, c in pairs])).to(device)
        return sync_loss(tower(curves), expert.embed_sound(mel), speaking(mel), expert.temperature()), {}

    return train_expert(expert, loss_of_batch, budget, also=tower)


def _segment(clip: TalkingMouth, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
    """A random stretch of a clip: mouths [40, 3, 56, 84], mel [80, 160], cues [40, 7]."""
    start = int(rng.integers(0, len(clip.frames) - SEGMENT + 1))
    frames = show(clip.frames[start : start + SEGMENT], rng)
    first = start * SAMPLES_PER_FRAME
    audio = clip.audio[first : first + SEGMENT * SAMPLES_PER_FRAME].astype(np.float32) / 32768
    audio = np.pad(audio, (0, SEGMENT * SAMPLES_PER_FRAME - len(audio)))
    return frames, log_mel(record(audio, rng)), clip.cues[start : start + SEGMENT].astype(np.float32)


def train_sight(
    expert: SyncExpert, clips: Sequence[TalkingMouth], budget: Budget, batch_size: int = 12, seed: int = 0
) -> dict[str, float]:
    """Second part: the video tower on rendered faces; the audio tower follows in the second half, slowly.

    Beside the contrast, single frames must tell mouth opening and articulation ("cues"): the eye learns sooner what to
    look at. Raises ValueError if fewer than two clips are long enough.
    """
    rng = np.random.default_rng(seed)
    device = expert.device
    usable = [clip for clip in clips if len(clip.frames) >= SEGMENT]
    if len(usable) < 2:
        raise ValueError(f"{len(usable)} clips of {SEGMENT} frames or more: at least 2 are needed")
    weights = np.array([len(clip.frames) for clip in usable], float)
    weights /= weights.sum()
    everything = np.concatenate([clip.cues for clip in usable]).astype(np.float32)
    middle, spread = (torch.from_numpy(v).to(device) for v in (everything.mean(0), everything.std(0) + 0.02))
    hearing = [*expert.patch.parameters(), *expert.mix.parameters(), *expert.audio_time.parameters()]

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        for parameter in hearing:
            parameter.requires_grad_(progress > 0.5)
        chosen = rng.choice(len(usable), batch_size, p=weights, replace=len(usable) < batch_size)
        frames, mel, cues = (
            torch.from_numpy(np.stack(part)).to(device)
            for part in zip(*[_segment(usable[i], rng) for i in chosen], strict=True)
        )
        with torch.autocast(device.type, dtype=torch.bfloat16):  # half the time of float32, also on CPUs
            features = expert.frame_features(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        features = features.float()
        video = F.normalize(expert.video_time(features.transpose(1, 2)).transpose(1, 2), dim=-1)
        contrast = sync_loss(video, expert.embed_sound(mel), speaking(mel), expert.temperature())
        seen = (expert.cues(features) - (cues - middle) / spread).square().mean()
        return contrast + 0.5 * seen, {"contrast": contrast.item(), "cues": seen.item()}

    return train_expert(expert, loss_of_batch, budget)


def train_sync(
    corpus: Path,
    out_dir: Path,
    cache: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    hours: float = 1.0,
    init: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, float]:
    """Train an expert on sight for `steps` or `minutes`, whichever ends first, and save it.

    The part on sound alone takes as many steps (at most a quarter of the minutes), each a third as long, on `hours`
    of speech.

    Args:
        corpus: a rendered corpus (tasks/studio/corpus.py) with train, val and test identities.
        out_dir: receives config.json and safetensors (float16).
        cache: where the cut mouths are kept; `corpus`/mouths by default.
        init: an expert to go on from; it is not trained on sound alone again.
    Returns:
        steps, losses, and `evaluate_sync` on the identities of val and test.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    cache = cache or corpus / "mouths"
    clips = load_mouths(corpus, cache, ("train",))
    expert = SyncExpert() if init is None else load_sync_expert(init)
    expert.requires_grad_(True).to(device)
    metrics: dict[str, float] = {}
    if init is None:
        budget = Budget(steps, None if minutes is None else minutes / 4)
        heard = train_hearing(expert, make_utterances(hours * 3600, "train", seed), budget, seed=seed)
        metrics = {"hearing_loss": heard["loss"]}
        minutes = None if minutes is None else minutes - heard["seconds"] / 60
    metrics |= train_sight(expert, clips, Budget(steps, minutes), seed=seed)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_model(expert.half(), out_dir)
    return metrics | evaluate_sync(load_sync_expert(out_dir), load_mouths(corpus, cache, ("val", "test")))


@torch.no_grad()
def evaluate_sync(expert: SyncExpert, clips: Sequence[TalkingMouth], seed: int = 0) -> dict[str, float]:
    """The expert on `clips` of people it never saw, with a detector's tremble (`show`) and clean sound.

    Protocol. Windows: every second window of 16 frames that speaks (`speaking`), once with its own sound and once with
    the sound of the same clip shifted by 3 to 15 frames either way; `window_pairs` = share where its own lies nearer,
    `window_accuracy` = share of both told apart by one threshold (the best one, the same for all clips). Offsets:
    2-second pieces whose sound was shifted by -10 … 10 frames, measured with `measure_sync`; `offset_within_1` = share
    found within one frame. Confidence and distance: means over those pieces, and with the sound of another clip
    ("shuffled").
    """
    rng = np.random.default_rng(seed)
    own: list[Tensor] = []
    shifted: list[Tensor] = []
    hits, confidence, distance, strangers = [], [], [], []
    mels = [log_mel(clip.audio.astype(np.float32) / 32768) for clip in clips]
    for number, (clip, mel) in enumerate(zip(clips, mels, strict=True)):
        count = min(len(clip.frames), mel.shape[1] // MEL_PER_FRAME)
        if count < 50:
            continue
        frames = show(clip.frames[:count], rng)
        video = expert.embed_frames(torch.from_numpy(frames)[None])[0]
        sound = torch.from_numpy(mel[:, : count * MEL_PER_FRAME])[None]
        audio, active = expert.embed_sound(sound)[0], speaking(sound)[0]
        for window in range(0, len(video), 2):
            shift = int(rng.integers(3, 16)) * int(rng.choice((-1, 1)))
            if active[window] and 0 <= window + shift < len(audio) and active[window + shift]:
                own.append(distances(video[window], audio[window]))
                shifted.append(distances(video[window], audio[window + shift]))
        for start in range(0, count - 49, 50):
            crops = _as_crops(frames[start : start + 50])
            offset = int(rng.integers(-10, 11))
            pts = (start + offset + np.arange(50)) / FPS  # the picture comes `offset` late: the sound is early
            if not active[start : start + 35].float().mean() > 0.5:
                continue
            found = measure_sync(crops, pts, mel, expert)
            hits.append(abs(found.offset_frames + offset) <= 1)
            confidence.append(found.confidence)
            distance.append(found.distance)
            other = mels[(number + 1 + int(rng.integers(len(mels) - 1))) % len(mels)] if len(mels) > 1 else mel
            if other is not mel and other.shape[1] >= 220:
                strangers.append(measure_sync(crops, np.arange(50) / FPS, other, expert).confidence)
    near, far = torch.stack(own), torch.stack(shifted)
    edges = torch.cat([near, far]).unique()
    accuracy = max(float(((near <= edge).float().mean() + (far > edge).float().mean()) / 2) for edge in edges[::8])
    return {
        "windows": len(near),
        "window_pairs": float((near < far).float().mean()),
        "window_accuracy": accuracy,
        "pieces": len(hits),
        "offset_within_1": float(np.mean(hits)),
        "confidence": float(np.mean(confidence)),
        "distance": float(np.mean(distance)),
        "confidence_shuffled": float(np.mean(strangers)) if strangers else float("nan"),
    }


def _as_crops(mouths: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Mouths float [T, 3, 56, 84] put back into otherwise grey 128 px crops uint8 [T, 128, 128, 3]."""
    crops = np.full((len(mouths), CROP, CROP, 3), 128, np.uint8)
    y0, y1, x0, x1 = MOUTH
    crops[:, y0:y1, x0:x1] = np.clip((mouths.transpose(0, 2, 3, 1) + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    return crops
