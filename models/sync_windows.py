"""Lips and sound as embeddings on one clock, whichever sync expert there is, so that offsets are array work.

The lips of a clip are embedded once (`see_lips`), the sound around it once (`hear_sound`); `distance_table` then holds
every window of the picture against every offset of the sound. Windows reach beyond a clip's ends, where its first and
last frame are repeated: a clip of 0.6 s, shorter than a window, is measured too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models import syncnet
from models.speech import log_mel
from models.sync import (
    FPS,
    MEL_FLOOR,
    MEL_PER_FRAME,
    UNRELATED,
    WINDOW,
    SyncExpert,
    distances,
    mouth_region,
    nominal_frames,
)
from models.syncnet import SyncNet

RATE = 16_000
_AUDIBLE = 0.35  # above MEL_FLOOR in some mel band: what the expert's training took for sound
_AUDIBLE_POWER = 1e-6  # -60 dBFS
_FRAME = RATE // int(FPS)


@dataclass(frozen=True)
class Lips:
    """Embeddings float32 [W, D] of a clip's windows, one round each frame of 25 fps from `start_s` on.

    real float32 [W]: the share of each window's frames that are the clip's own. lead: frames of a window before the one
    it is named after. size: frames of a window.
    """

    embeddings: Tensor
    real: NDArray[np.float32]
    start_s: float
    lead: int
    size: int

    def __len__(self) -> int:
        return len(self.embeddings)


@torch.no_grad()
def see_lips(
    crops: NDArray[np.uint8], pts: NDArray[np.floating], expert: SyncExpert | SyncNet, batch: int = 64
) -> Lips:
    """The lips of a clip, embedded once.

    Args:
        crops: uint8 RGB [T, S, S, 3] aligned crops (tasks/crops.py).
        pts: float [T] seconds, increasing.
        batch: frames at a time: bounds the memory of a long clip.
    Raises:
        ValueError: no frames.
    """
    index = nominal_frames(np.asarray(pts))
    if len(index) == 0:
        raise ValueError("no frames")
    size = _size(expert)
    lead = size // 2
    padded = np.pad(index, (lead, size - 1 - lead), mode="edge")
    shown = np.arange(len(padded)) - lead
    inside = ((shown >= 0) & (shown < len(index))).astype(np.float32)
    real = np.lib.stride_tricks.sliding_window_view(inside, size).mean(axis=1, dtype=np.float32)
    if isinstance(expert, SyncNet):
        seen = _embed_syncnet(crops, padded, expert, batch)
    else:
        seen = _embed(crops, index, lead, size, expert, batch)
    return Lips(seen, real, float(pts[0]), lead, size)


def _embed(
    crops: NDArray[np.uint8], index: NDArray[np.int64], lead: int, size: int, expert: SyncExpert, batch: int
) -> Tensor:
    features = []
    for start in range(0, len(index), batch):
        part = torch.from_numpy(np.ascontiguousarray(crops[index[start : start + batch]]))
        region = mouth_region(part.permute(0, 3, 1, 2).to(expert.device, expert.dtype) / 255)
        features.append(expert.frame_features(region))
    frames = F.pad(torch.cat(features).T[None], (lead, size - 1 - lead), mode="replicate")
    seen: Tensor = F.normalize(expert.video_time(frames)[0].T, dim=-1)
    return seen.float().cpu()


def _embed_syncnet(crops: NDArray[np.uint8], padded: NDArray[np.int64], expert: SyncNet, batch: int) -> Tensor:
    found = []
    count = len(padded) - syncnet.WINDOW + 1
    for start in range(0, count, batch // 4):
        stop = min(count, start + batch // 4)
        pictures = syncnet.as_seen(crops[padded[start : stop + syncnet.WINDOW - 1]])
        seen = torch.from_numpy(np.ascontiguousarray(pictures)).to(expert.device, expert.dtype)
        found.append(expert.embed_video(seen.unfold(0, syncnet.WINDOW, 1).permute(0, 3, 4, 1, 2)))
    return torch.cat(found).float().cpu()


@torch.no_grad()
def hear_sound(
    sound: NDArray[np.floating], start_s: float, lips: Lips, expert: SyncExpert | SyncNet, max_offset: int
) -> tuple[Tensor, NDArray[np.float32]]:
    """Embeddings float32 [W + 2 max_offset, D] of the sound round a clip's windows, and the audible share of each.

    Args:
        sound: float [N] mono at 16 kHz; sample 0 lies at `start_s` on the clock of the clip. What is missing of
            `reach_s` on either side counts as silence.
    """
    first = round((lips.start_s - start_s) * RATE) - (lips.lead + max_offset) * _FRAME
    count = len(lips) + 2 * max_offset
    wanted = (count + lips.size - 1) * _FRAME
    piece = np.asarray(sound[max(0, first) : max(0, first + wanted)], np.float32)
    before = min(wanted, max(0, -first))
    piece = np.pad(piece, (before, max(0, wanted - before - len(piece))))[:wanted]
    if isinstance(expert, SyncNet):
        loud = np.square(piece.reshape(-1, _FRAME)).mean(axis=1) > _AUDIBLE_POWER
        coefficients = torch.from_numpy(syncnet.mfcc(piece))
        needed = (count - 1) * syncnet.MFCC_PER_FRAME + syncnet.MFCC_WINDOW
        coefficients = F.pad(coefficients, (0, max(0, needed - coefficients.shape[1])), mode="replicate")
        spans = coefficients.unfold(1, syncnet.MFCC_WINDOW, syncnet.MFCC_PER_FRAME)[:, :count].permute(1, 0, 2)
        parts = [expert.embed_audio(part.to(expert.device, expert.dtype)) for part in spans.split(64)]
        return torch.cat(parts).float().cpu(), _shares(loud, lips.size)
    mel = log_mel(piece)
    heard = expert.embed_sound(torch.from_numpy(mel)[None].to(expert.device, expert.dtype))[0]
    loud = mel.max(axis=0) > MEL_FLOOR + _AUDIBLE
    return heard.float().cpu(), _shares(loud, lips.size * MEL_PER_FRAME, MEL_PER_FRAME)


def reach_s(expert: SyncExpert | SyncNet, max_offset: int) -> float:
    """Seconds of sound before and after a clip that `hear_sound` listens to."""
    return (max_offset + _size(expert)) / FPS


def _size(expert: SyncExpert | SyncNet) -> int:
    """Frames of a window."""
    return syncnet.WINDOW if isinstance(expert, SyncNet) else WINDOW


def distance_table(
    lips: Lips,
    sounds: Tensor,
    audible: NDArray[np.float32],
    expert: SyncExpert | SyncNet,
    max_offset: int,
    least_audible: float = 1 / 3,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], float]:
    """Distances float32 [W, 2 max_offset + 1] of window × offset (-max_offset … max_offset frames), which of them were
    heard (bool, same shape), and the distance of what is unrelated. What is silent counts as unrelated.
    """
    offsets = 2 * max_offset + 1
    span = sounds.unfold(0, offsets, 1).transpose(1, 2)[: len(lips)]  # [W, offsets, D]
    if isinstance(expert, SyncNet):
        table = (span - lips.embeddings[:, None]).norm(dim=-1).numpy()
    else:
        table = distances(lips.embeddings[:, None], span).numpy()
    heard = np.lib.stride_tricks.sliding_window_view(audible, offsets)[: len(lips)] > least_audible
    unrelated = UNRELATED
    if isinstance(expert, SyncNet):  # not normalised: what is typical of this clip
        unrelated = float(np.median(table[heard])) if heard.any() else float(np.median(table))
    return np.where(heard, table, np.float32(unrelated)).astype(np.float32), heard, unrelated


def _shares(loud: NDArray[np.bool_], length: int, step: int = 1) -> NDArray[np.float32]:
    """The share of True in every window of `length` that starts at a multiple of `step`."""
    return np.lib.stride_tricks.sliding_window_view(loud, length)[::step].mean(axis=1, dtype=np.float32)
