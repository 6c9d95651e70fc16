"""The sync expert: does this mouth say this sound, and if not now, when?

Two towers in the manner of SyncNet (Chung and Zisserman, 2016) meet in one space: 16 frames of the mouth at 25 fps, and
64 mel frames (0.64 s) of sound. Both are convolutions without padding along time, so a whole clip is embedded in
one pass and gives exactly what its windows give one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

PACKS = Path(__file__).parent / "packs"
WINDOW = 16  # frames of 25 fps
FPS = 25.0
MEL_PER_FRAME = 4
MEL_FLOOR = -0.34  # models.speech.MEL_FLOOR: silence
CROP = 128
MOUTH = (68, 124, 22, 106)  # y0, y1, x0, x1 of the mouth and jaw in the aligned 128 px crop
UNRELATED = 10.0  # the distance between embeddings that have nothing to do with each other


class MissingSyncExpert(FileNotFoundError):
    """No sync expert at the given source; `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def mouth_region(crops: Tensor) -> Tensor:
    """Cut mouth and jaw out of aligned crops: float [..., 3, S, S] in 0..1 → [..., 3, 56, 84] in -1..1.

    Differentiable, so that the expert can judge decoded frames in training. Crops of another size than 128 px are
    resampled first.
    """
    if crops.shape[-1] != CROP:
        flat = crops.reshape(-1, *crops.shape[-3:])
        flat = F.interpolate(flat, size=(CROP, CROP), mode="bilinear", antialias=True, align_corners=False)
        crops = flat.reshape(*crops.shape[:-2], CROP, CROP)
    y0, y1, x0, x1 = MOUTH
    return crops[..., y0:y1, x0:x1] * 2 - 1


class TimeStack(nn.Module):
    """Three unpadded convolutions over time that see exactly WINDOW steps: [B, C, T] → [B, D, T - 15]."""

    def __init__(self, channels: int, width: int, out: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(channels if i == 0 else width, width, 4, dilation=dilation)
            for i, dilation in enumerate((1, 2, 2))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))  # of a time step, never of the whole clip
        self.out = nn.Conv1d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x).transpose(1, 2))).transpose(1, 2)
        y: Tensor = self.out(x)
        return y


class SyncExpert(ModelMixin, ConfigMixin):
    """Two towers, one space: embeddings are unit vectors, in-sync ones lie close together.

    About a million parameters. Trained by tasks/training/sync.py.
    """

    config_name: Any = "config.json"

    @register_to_config
    def __init__(
        self, width: int = 128, audio_width: int = 192, dim: int = 128, n_mels: int = 80, cue_count: int = 7
    ) -> None:
        super().__init__()
        channels = (16, 32, 64, 96)
        sizes = (3, *channels)
        self.picture = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 5 if i == 0 else 3, stride=2, padding=2 if i == 0 else 1)
            for i in range(4)
        )
        self.picture_norms = nn.ModuleList(nn.GroupNorm(8, c) for c in channels)
        self.frame = nn.Linear(channels[-1] * 4 * 6, width)
        self.cues = nn.Linear(width, cue_count)
        self.video_time = TimeStack(width, width, dim)
        self.patch = nn.Conv1d(n_mels, audio_width, MEL_PER_FRAME, stride=MEL_PER_FRAME)
        self.mix = nn.Conv1d(audio_width, audio_width, 1)
        self.audio_time = TimeStack(audio_width, audio_width, dim)
        self.log_temperature = nn.Parameter(torch.tensor(float(np.log(0.07))))

    def temperature(self) -> Tensor:
        """Of the softmax over cosines in training."""
        return self.log_temperature.exp().clamp(min=0.03)

    def frame_features(self, mouths: Tensor) -> Tensor:
        """Mouths float [N, 3, 56, 84] in -1..1 (`mouth_region`) → features [N, width] of single frames."""
        x = mouths
        for conv, norm in zip(self.picture, self.picture_norms, strict=True):
            x = F.gelu(norm(conv(x)))
        y: Tensor = self.frame(x.flatten(1))
        return y

    def embed_frames(self, mouths: Tensor) -> Tensor:
        """Mouths float [B, T, 3, 56, 84] at 25 fps → unit embeddings [B, T - 15, dim], one per window of 16 frames."""
        features = self.frame_features(mouths.flatten(0, 1)).unflatten(0, mouths.shape[:2])
        return F.normalize(self.video_time(features.transpose(1, 2)).transpose(1, 2), dim=-1)

    def embed_video(self, mouths: Tensor) -> Tensor:
        """A window of mouths float [B, 3, 16, 56, 84] in -1..1 → unit embedding [B, dim]."""
        return self.embed_frames(mouths.transpose(1, 2))[:, 0]

    def embed_sound(self, mel: Tensor) -> Tensor:
        """Mel float [B, 80, 4 T] → unit embeddings [B, T - 15, dim]; window `i` starts at mel frame `4 i`."""
        x = F.gelu(self.patch(mel))
        x = x + F.gelu(self.mix(x))
        return F.normalize(self.audio_time(x).transpose(1, 2), dim=-1)

    def embed_audio(self, mel: Tensor) -> Tensor:
        """A window of mel float [B, 80, 64] → unit embedding [B, dim]."""
        return self.embed_sound(mel)[:, 0]


@dataclass(frozen=True)
class SyncResult:
    """What the expert says of one clip.

    offset_frames: in frames of 25 fps; positive: the sound lags the picture. Shift the sound earlier by it.
    confidence: median minus minimum of `curve`, as SyncNet defines it (LSE-C of Wav2Lip, 2020).
    distance: the minimum of `curve` (LSE-D).
    curve: float32 [2 max_offset + 1], mean distance at offsets -max_offset … max_offset; NaN where no window had sound.
    windows: the number of video windows that were averaged.

    LSE-C and LSE-D of the literature come from SyncNet's own embeddings, which are not normalised; here two
    unrelated windows are 10 apart and the greatest confidence is 10. Compare only numbers of one expert.
    """

    offset_frames: int
    confidence: float
    distance: float
    curve: np.ndarray
    windows: int


def distances(video: Tensor, audio: Tensor) -> Tensor:
    """Distance of unit embeddings [..., dim]: 0 for the same, UNRELATED for orthogonal ones."""
    return (video - audio).norm(dim=-1) * (UNRELATED / 2**0.5)


def nominal_frames(pts: np.ndarray) -> np.ndarray:
    """Indices int [T'] of the frames to show at 25 fps from the first timestamp on: increasing times [T] in seconds.

    A frame is shown from its own timestamp on, but the nearest one is taken: half a frame of delay would be an offset.
    """
    pts = np.asarray(pts, dtype=np.float64)
    if len(pts) == 0:
        return np.zeros(0, np.int64)
    step = float(np.median(np.diff(pts))) if len(pts) > 1 else 0.0
    count = int(np.floor((pts[-1] - pts[0] + 0.5 * step) * FPS + 1e-6)) + 1
    times = pts[0] + np.arange(count) / FPS
    right = np.clip(np.searchsorted(pts, times), 0, len(pts) - 1)
    left = np.clip(right - 1, 0, len(pts) - 1)
    nearer = np.where(np.abs(pts[left] - times) < np.abs(pts[right] - times) + 1e-9, left, right)
    return nearer.astype(np.int64)


@torch.no_grad()
def measure_sync(
    crops: np.ndarray,
    pts: np.ndarray,
    mel: np.ndarray,
    expert: SyncExpert,
    max_offset: int = 15,
    mel_start_s: float = 0.0,
) -> SyncResult:
    """Offset, confidence and distance of sound and picture, in the manner of SyncNet.

    Protocol: frames are taken at 25 fps by their timestamps; every window of 16 frames is compared with the
    sound at -max_offset … +max_offset frames; the distances are averaged over the windows for which that
    sound exists and is not silence throughout; offset = argmin, distance = min, confidence = median - min.

    Args:
        crops: uint8 [T, S, S, 3] aligned crops (tasks/crops.py), 128 px or resampled to it.
        pts: float [T] seconds, on the clock of the sound.
        mel: float [80, N] of `models.speech.log_mel`; column 0 lies at `mel_start_s` on that clock.
    Raises:
        ValueError: fewer than 16 frames at 25 fps, or no sound next to the picture.
    """
    index = nominal_frames(pts)
    if len(index) < WINDOW:
        raise ValueError(f"{len(index)} frames at 25 fps: a window needs {WINDOW}")
    device, dtype = expert.device, expert.dtype
    mouths = []
    for start in range(0, len(index), 256):  # bounds the memory of a long clip
        part = torch.from_numpy(np.ascontiguousarray(crops[index[start : start + 256]]))
        region = mouth_region(part.permute(0, 3, 1, 2).to(device, dtype) / 255)
        mouths.append(expert.frame_features(region))
    features = torch.cat(mouths).T[None]
    video = F.normalize(expert.video_time(features)[0].T, dim=-1)

    first = round((float(pts[0]) - mel_start_s) * 100) - MEL_PER_FRAME * max_offset
    length = MEL_PER_FRAME * (len(index) + 2 * max_offset)
    left, right = max(0, -first), max(0, first + length - mel.shape[1])
    piece = np.asarray(mel[:, max(0, first) : max(0, first + length)], dtype=np.float32)
    piece = np.pad(piece, ((0, 0), (left, right)), constant_values=MEL_FLOOR)[:, :length]
    sound = torch.from_numpy(np.ascontiguousarray(piece)).to(device, dtype)
    audio = expert.embed_sound(sound[None])[0]
    outside = np.ones(length)
    outside[left : length - right] = 0
    heard = np.where(outside > 0, MEL_FLOOR, piece.max(axis=0))
    frames_in = np.lib.stride_tricks.sliding_window_view(1 - outside, WINDOW * MEL_PER_FRAME)[::MEL_PER_FRAME]
    loud = np.lib.stride_tricks.sliding_window_view(heard, WINDOW * MEL_PER_FRAME)[::MEL_PER_FRAME]
    usable = torch.from_numpy((frames_in.mean(1) > 0.9) & (loud.max(1) > MEL_FLOOR + 0.2)).to(device)

    curve = np.full(2 * max_offset + 1, np.nan, np.float32)
    for shift in range(2 * max_offset + 1):
        valid = usable[shift : shift + len(video)]
        if bool(valid.any()):
            apart = distances(video, audio[shift : shift + len(video)])
            curve[shift] = float(apart[valid].mean())
    if np.isnan(curve).all():
        raise ValueError("no sound next to the picture")
    best = int(np.nanargmin(curve))
    distance = float(curve[best])
    confidence = float(np.nanmedian(curve)) - distance
    return SyncResult(best - max_offset, confidence, distance, curve, len(video))


def load_sync_expert(source: str | Path = "studio") -> SyncExpert:
    """Load the expert of a shipped pack ("studio") or of a folder, in float32 on the CPU, for inference.

    Raises:
        MissingSyncExpert: nothing of that name or path exists.
    """
    path = Path(source)
    folder = path if path.is_dir() else PACKS / str(source) / "sync"
    if not (folder / "config.json").is_file():
        raise MissingSyncExpert(f"no sync expert at {source}", "name the pack 'studio' or train one: --stage sync")
    expert = SyncExpert.from_pretrained(
        str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    return expert.float().eval().requires_grad_(False)
