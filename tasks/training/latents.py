"""Latents and speech features, computed once: what the diffusion stages read instead of pictures and sound.

One safetensors file a clip, named by what it was made from (clip, autoencoder, speech encoder, mask), so that a changed
autoencoder makes new files and an unchanged one finds the old.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from models.autoencoder import encode, to_images
from models.landmarks106 import kps_from
from models.pipeline import fast_dtype
from models.speech import encode_speech, frame_tokens
from storage.atomic import written_aside
from storage.ids import content_id
from tasks.masks import LIPS, dub_mask
from tasks.quality import head_pose
from tasks.references import nearest
from tasks.training.data import TrainingClip

LIKE_POSE = 0.75
"""Share of the samples whose reference is turned as they are."""
CANDIDATES = 8
"""Frames among which such a reference is looked for: about as many as a renderer keeps."""


def weights_id(module: torch.nn.Module) -> str:
    """20 hex digits of a module's weights."""
    state = {name: value.detach().float().cpu().numpy() for name, value in module.state_dict().items()}
    return content_id("weights", state)


class LatentCache:
    """Makes and finds the files of one autoencoder and speech encoder.

    Args:
        folder: where the files lie; shared by any number of processes.
        vae: autoencoder, in evaluation mode.
        speech: see `models.speech.load_speech_encoder`.
        device: where the autoencoder computes.
        batch: crops encoded at a time.
    """

    def __init__(
        self, folder: str | Path, vae: Any, speech: Any, device: str | torch.device = "cpu", batch: int = 16
    ) -> None:
        self.folder = Path(folder)
        self.device = torch.device(device)
        self.vae = vae.to(self.device).eval()
        self.speech = speech
        self.batch = batch
        # the decoder does not matter: it may be trained further while latents and denoisers stay good
        encoder = [weights_id(part) for part in (vae.encoder, vae.quant_conv) if part is not None]
        scale = [float(vae.config.scaling_factor), float(vae.config.shift_factor or 0)]
        self._made_from = (*encoder, *scale, weights_id(speech))

    def path(self, clip: TrainingClip, mirrored: bool = False) -> Path:
        """The file of a clip; it need not exist yet."""
        mask = dub_mask(clip.frames.shape[1])
        made_from = (*self._made_from, clip.clip_id, len(clip), clip.pts, clip.identity, mask, mirrored)
        key = content_id("latents with pose", *made_from)
        return self.folder / key[:2] / f"{key}.safetensors"

    def add(self, clip: TrainingClip, mirrored: bool = False) -> Path:
        """The file of a clip (or of its mirror image), made if it is missing."""
        path = self.path(clip, mirrored)
        if not path.is_file():
            tensors = self._encode(clip, mirrored)
            with written_aside(path) as partial:
                save_file(
                    {name: value.contiguous() for name, value in tensors.items()},
                    str(partial),
                    metadata={"clip_id": clip.clip_id, "mirrored": str(mirrored)},
                )
        return path

    @torch.no_grad()
    def _encode(self, clip: TrainingClip, mirrored: bool) -> dict[str, Tensor]:
        size, dtype = clip.frames.shape[1], fast_dtype(self.device)
        frames, labels = (x[:, :, ::-1] if mirrored else x for x in (clip.frames, clip.labels))
        keep = 1 - torch.from_numpy(dub_mask(size))[None, None].to(self.device)
        whole, masked = [], []
        for start in range(0, len(clip), self.batch):
            images = to_images(frames[start : start + self.batch]).to(self.device)
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                both = encode(self.vae, torch.cat([images, images * keep]))
            first, second = both.half().cpu().chunk(2)
            whole.append(first)
            masked.append(second)
        latents = torch.cat(whole)
        visible = torch.from_numpy((labels == LIPS).astype(np.float32))[:, None]
        lips = F.adaptive_avg_pool2d(visible, (latents.shape[-2], latents.shape[-1]))
        identity = np.zeros(512, np.float32) if clip.identity is None else clip.identity
        pose = head_pose(kps_from(clip.landmarks)) * ((-1, 1, -1) if mirrored else (1, 1, 1))
        return {
            "latents": latents,
            "masked": torch.cat(masked),
            "lips": (lips * 255).round().to(torch.uint8),
            "speech": encode_speech(self.speech, clip.audio).half().cpu(),
            "pts": torch.from_numpy(clip.pts.copy()),
            "pose": torch.from_numpy(pose.astype(np.float32)),
            "identity": torch.from_numpy(np.array(identity, np.float32)),
        }


def cache_clips(clips: Iterable[TrainingClip], cache: LatentCache, mirror: bool = True) -> list[Path]:
    """The files of all clips (and their mirror images), in order; clips of fewer than two frames are left out."""
    files = []
    for clip in clips:
        if len(clip) >= 2:
            files += [cache.add(clip, mirrored) for mirrored in ((False, True) if mirror else (False,))]
    return files


@dataclass
class LatentBatch:
    """B samples: latents, masked, reference float32 [B,4,h,w]; lips [B,1,h,w] in 0..1; audio_tokens [B,N,D];
    identity [B,512], has_identity [B] 0 or 1.
    """

    latents: Tensor
    masked: Tensor
    reference: Tensor
    lips: Tensor
    audio_tokens: Tensor
    identity: Tensor
    has_identity: Tensor

    def to(self, device: torch.device | str) -> LatentBatch:
        """The batch on another device."""
        return LatentBatch(**{name: value.to(device) for name, value in vars(self).items()})


def sample_batch(
    files: Sequence[Path], rngs: Sequence[np.random.Generator], context: int = 2, reference_gap_s: float = 0.5
) -> LatentBatch:
    """Draw a frame of a random clip by each of `rngs`, each with another frame of its clip as reference.

    The reference is at least `reference_gap_s` away if there is one (its mouth must not give the answer away) and,
    more often than not, the one of those whose head pose is nearest, as when rendering (see `tasks.references`). Only
    the frames that are drawn are read from disk.
    """
    samples: list[dict[str, Tensor]] = []
    for rng in rngs:
        with safe_open(str(files[int(rng.integers(len(files)))]), "pt") as stored:
            samples.append(_draw(stored, rng, context, reference_gap_s))
    return LatentBatch(**{name: torch.stack([sample[name] for sample in samples]) for name in samples[0]})


def _draw(stored: Any, rng: np.random.Generator, context: int, gap_s: float) -> dict[str, Tensor]:
    pts = stored.get_tensor("pts").numpy()
    index = int(rng.integers(len(pts)))
    far = np.flatnonzero(np.abs(pts - pts[index]) >= gap_s)
    if not len(far):
        other = int((index + rng.integers(1, len(pts))) % len(pts))
    elif rng.random() < LIKE_POSE:
        pose = stored.get_tensor("pose").numpy()
        some = rng.choice(far, min(len(far), CANDIDATES), replace=False)
        other = int(some[nearest(pose[some], pose[index])])
    else:
        other = int(rng.choice(far))
    latents, identity = stored.get_slice("latents"), stored.get_tensor("identity")
    return {
        "latents": latents[index].float(),
        "reference": latents[other].float(),
        "masked": stored.get_slice("masked")[index].float(),
        "lips": stored.get_slice("lips")[index].float() / 255,
        "audio_tokens": frame_tokens(stored.get_tensor("speech").float(), pts[index : index + 1], context)[0],
        "identity": identity,
        "has_identity": (identity.abs().sum() > 0).float(),
    }
