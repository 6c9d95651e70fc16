"""SyncNet v2 (Chung and Zisserman, 2016): the public judge of lip sync behind the published LSE-C and LSE-D.

Our own module in the shape of the public weights (``syncnet_v2.model``), so that they load key by key, and the
measure as Wav2Lip (Prajwal et al., 2020) made it known: windows of 5 frames at 25 fps against 0.2 s of MFCC.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoints import UnusableCheckpoint, checkpoint_source, read_tensors
from models.speech import log_mel
from models.sync import FPS, SyncExpert, SyncResult, load_sync_expert, measure_sync, nominal_frames

SIDE = 224
WINDOW = 5  # frames
MFCC_WINDOW, MFCC_PER_FRAME, COEFFICIENTS = 20, 4, 13
RATE = 16000
VIEW = (-0.144, 0.055, 1.288)
"""Left, top and side, in sides of our aligned crop, of the square that SyncNet's own pipeline cuts out round a face.

That pipeline takes 1.4 times a face's box, shifted down; the box is taken to reach from 0.055 to 0.975 of our crop's
height. What lies outside our crop repeats its edge.
"""
AUDIO_WIDTHS, LIP_WIDTHS = (64, 192, 384, 256, 256, 512), (96, 256, 256, 256, 256, 512)


class SyncNet(nn.Module):
    """The two towers of SyncNet v2, with the key names of its public weights.

    Args:
        audio_widths, lip_widths: channels of the six convolutions of each tower.
        hidden, dim: width of the fully connected layer, and of the embeddings.
    """

    def __init__(
        self,
        audio_widths: Sequence[int] = AUDIO_WIDTHS,
        lip_widths: Sequence[int] = LIP_WIDTHS,
        hidden: int = 512,
        dim: int = 1024,
    ) -> None:
        super().__init__()
        self.netcnnaud = _audio_tower(audio_widths)
        self.netfcaud = _head(audio_widths[-1], hidden, dim)
        self.netfclip = _head(lip_widths[-1], hidden, dim)
        self.netcnnlip = _lip_tower(lip_widths)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def embed_video(self, pictures: Tensor) -> Tensor:
        """Windows of BGR pictures float [B, 3, 5, 224, 224] in 0..255 → embeddings [B, dim], of any length."""
        y: Tensor = self.netfclip(self.netcnnlip(pictures).flatten(1))
        return y

    def embed_audio(self, coefficients: Tensor) -> Tensor:
        """Windows of MFCC float [B, 13, 20] (`mfcc`) → embeddings [B, dim], of any length."""
        y: Tensor = self.netfcaud(self.netcnnaud(coefficients[:, None]).flatten(1))
        return y


def _audio_tower(widths: Sequence[int]) -> nn.Sequential:
    kernels: list[tuple[int, int]] = [(3, 3)] * 5 + [(5, 4)]
    pools = {0: nn.MaxPool2d(1, 1), 1: nn.MaxPool2d(3, (1, 2)), 4: nn.MaxPool2d(3, 2)}
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        before = widths[i - 1] if i else 1
        layers += [nn.Conv2d(before, width, kernels[i], padding=1 if i < 5 else 0), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [pools[i]] if i in pools else []
    return nn.Sequential(*layers)


def _lip_tower(widths: Sequence[int]) -> nn.Sequential:
    kernels = [(5, 7, 7), (1, 5, 5), (1, 3, 3), (1, 3, 3), (1, 3, 3), (1, 6, 6)]
    one, half, edge, none = (1, 1, 1), (1, 2, 2), (0, 1, 1), (0, 0, 0)
    strides = [half, half, one, one, one, one]
    paddings = [none, edge, edge, edge, edge, none]
    wide = (1, 3, 3)
    pools = {0: nn.MaxPool3d(wide, half), 1: nn.MaxPool3d(wide, half, edge), 4: nn.MaxPool3d(wide, half)}
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        before = widths[i - 1] if i else 3
        layers += [nn.Conv3d(before, width, kernels[i], strides[i], paddings[i]), nn.BatchNorm3d(width), nn.ReLU()]
        layers += [pools[i]] if i in pools else []
    return nn.Sequential(*layers)


def _head(width: int, hidden: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dim))


def load_syncnet(path: str | Path) -> SyncNet:
    """SyncNet from a file of its public weights (`find_checkpoint("syncnet", root)`), float32 on the CPU.

    Narrower networks of the same make load too: widths are read from the file.

    Raises:
        MissingCheckpoint: no such file.
        UnusableCheckpoint: not a torch file, cut off, holds code, or the weights are not SyncNet's.
    """
    path = Path(path)
    weights = read_tensors(path, "SyncNet")
    try:
        widths = [
            [len(tensor) for name, tensor in weights.items() if name.startswith(tower) and _is_convolution(tensor)]
            for tower in ("netcnnaud.", "netcnnlip.")
        ]
        net = SyncNet(widths[0], widths[1], *(len(weights[f"netfcaud.{layer}.weight"]) for layer in (0, 3)))
        net.load_state_dict(weights)
    except (KeyError, IndexError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnusableCheckpoint(
            f"{path} does not hold SyncNet's weights: {reason}", "See `syncnet` in models/checkpoints.yaml."
        ) from error
    return net.float().eval().requires_grad_(False)


def load_lips(source: str, root: str | Path) -> SyncExpert | SyncNet:
    """The sync expert of any source: a key of checkpoints.yaml, a file of SyncNet's weights, a shipped pack, a folder.

    Args:
        root: the data root, below which checkpoints lie.
    Raises:
        MissingSyncExpert, MissingCheckpoint, WrongCheckpoint, UnusableCheckpoint: there is none that could serve.
    """
    place = checkpoint_source(source, root)
    return load_syncnet(place) if Path(place).is_file() else load_sync_expert(place)


def _is_convolution(tensor: Tensor) -> bool:
    return tensor.ndim > 2


def mfcc(audio: NDArray[np.floating]) -> NDArray[np.float32]:
    """The 13 mel-frequency cepstral coefficients that SyncNet hears, float32 [13, T] at 100 Hz.

    Those of python_speech_features 0.6 with its defaults: frames of 25 ms without a window, pre-emphasis 0.97, power
    spectrum of 512 points, 26 mel filters up to 8 kHz, lifter 22, coefficient 0 replaced by the log energy. They are
    taken from 16-bit levels.

    Args:
        audio: float [N] mono at 16 kHz in -1..1.
    Raises:
        ValueError: no sound.
    """
    samples = np.clip(np.rint(np.asarray(audio, np.float64) * 32768), -32768, 32767)
    if len(samples) == 0:
        raise ValueError("no sound")
    samples = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    length, step, points = 400, 160, 512
    count = 1 + max(0, -(-(len(samples) - length) // step))
    samples = np.pad(samples, (0, max(0, (count - 1) * step + length - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::step][:count]
    power = np.square(np.abs(np.fft.rfft(frames, points))) / points
    energy = power.sum(axis=1)
    tiny = np.finfo(float).eps
    bands = power @ _filters(26, points).T
    coefficients = dct(np.log(np.where(bands == 0, tiny, bands)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    coefficients *= 1 + 11 * np.sin(np.pi * np.arange(COEFFICIENTS) / 22)
    coefficients[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return np.ascontiguousarray(coefficients.T, np.float32)


def _filters(count: int, points: int) -> NDArray[np.float64]:
    """Triangular mel filters [count, points / 2 + 1] between 0 Hz and half the sample rate."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    edges = np.floor((points + 1) * hertz / RATE)
    bins = np.arange(points // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.maximum(edges[1:-1] - edges[:-2], 1)[:, None]
    falling = (edges[2:, None] - bins) / np.maximum(edges[2:] - edges[1:-1], 1)[:, None]
    inside = (bins >= edges[:-2, None]) & (bins < edges[2:, None])
    return np.where(inside, np.where(bins < edges[1:-1, None], rising, falling), 0)


def as_seen(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Aligned crops RGB [T, S, S, 3] → BGR [T, 224, 224, 3], the face as large and as high as SyncNet knows it."""
    left, top, side = VIEW
    scale = SIDE / (side * crops.shape[1])
    matrix = np.array([[scale, 0, -left / side * SIDE], [0, scale, -top / side * SIDE]])
    seen = [
        cv2.warpAffine(crop, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for crop in crops
    ]
    return np.asarray(np.stack(seen)[..., ::-1], np.uint8)


@torch.no_grad()
def measure_syncnet(
    crops: NDArray[np.uint8],
    pts: NDArray[np.floating],
    audio: NDArray[np.floating],
    expert: SyncNet,
    max_offset: int = 15,
    audio_start_s: float = 0.0,
    batch: int = 20,
) -> SyncResult:
    """Offset, confidence (LSE-C) and distance (LSE-D) of picture and sound on SyncNet's own scale.

    Protocol, as in syncnet_python: frames at 25 fps, all windows of 5 but the last, the distance of each to the sound
    at -max_offset … +max_offset frames (to an embedding of zeros beyond the ends), mean over the windows; distance =
    minimum, confidence = median - minimum. The pictures are our aligned crops in SyncNet's framing (`as_seen`), not
    crops of its own detector.

    Args:
        crops: uint8 RGB [T, S, S, 3] aligned crops (tasks/crops.py).
        pts: float [T] seconds, on the clock of the sound.
        audio: float [N] mono at 16 kHz; sample 0 lies at `audio_start_s` on that clock.
    Raises:
        ValueError: fewer than 6 frames at 25 fps, or no sound next to the picture.
    """
    index = nominal_frames(pts)
    count = len(index) - WINDOW
    if count < 1:
        raise ValueError(f"{len(index)} frames at 25 fps: SyncNet needs {WINDOW + 1}")
    first = round((float(pts[0]) - audio_start_s) * RATE)
    length = round(len(index) * RATE / FPS)
    piece = np.asarray(audio[max(0, first) : max(0, first + length)], np.float32)
    if not np.any(piece):
        raise ValueError("no sound next to the picture")
    before = min(length, max(0, -first))
    heard = torch.from_numpy(mfcc(np.pad(piece, (before, max(0, length - before - len(piece))))))
    heard = F.pad(heard, (0, max(0, count * MFCC_PER_FRAME + MFCC_WINDOW - heard.shape[1])), mode="replicate")
    video, sound = [], []
    for start in range(0, count, batch):
        stop = min(count, start + batch)
        seen = torch.from_numpy(np.ascontiguousarray(as_seen(crops[index[start : stop + WINDOW - 1]])))
        windows = seen.to(expert.device, expert.dtype).unfold(0, WINDOW, 1).permute(0, 3, 4, 1, 2)
        video.append(expert.embed_video(windows))
        spans = heard[:, start * MFCC_PER_FRAME :].unfold(1, MFCC_WINDOW, MFCC_PER_FRAME)[:, : stop - start]
        sound.append(expert.embed_audio(spans.permute(1, 0, 2).to(expert.device, expert.dtype)))
    pictures, sounds = torch.cat(video), F.pad(torch.cat(sound), (0, 0, max_offset, max_offset))
    curve = torch.stack(
        [F.pairwise_distance(pictures, sounds[shift : shift + count]).mean() for shift in range(2 * max_offset + 1)]
    )
    best = int(curve.argmin())
    distance = float(curve[best])
    return SyncResult(best - max_offset, float(curve.median()) - distance, distance, curve.float().cpu().numpy(), count)


def measure_lips(
    crops: NDArray[np.uint8],
    pts: NDArray[np.floating],
    audio: NDArray[np.floating],
    expert: SyncExpert | SyncNet,
    max_offset: int = 15,
    audio_start_s: float = 0.0,
) -> SyncResult:
    """Sync by whichever expert there is, from aligned crops and sound; see `measure_sync` and `measure_syncnet`."""
    if isinstance(expert, SyncNet):
        return measure_syncnet(crops, pts, audio, expert, max_offset, audio_start_s)
    return measure_sync(crops, pts, log_mel(audio), expert, max_offset, audio_start_s)
