"""Latents and speech features, computed once: what the diffusion stages read instead of pictures and sound.

One safetensors file a clip, named by what it was made from (clip, autoencoder, speech encoder, masks), so that a
changed autoencoder makes new files and an unchanged one finds the old. `tasks/training/batches.py` draws from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from models.action_unit_reader import ActionUnitReader
from models.action_units import AUS
from models.autoencoder import encode, to_images
from models.landmarks106 import kps_from
from models.pipeline import fast_dtype
from models.speech import encode_speech
from storage.atomic import written_aside
from storage.ids import content_id
from tasks.masks import LIPS, dub_mask, whole_face_mask
from tasks.quality import head_pose
from tasks.training.data import TrainingClip

FACE_SIDE = 96
"""Side in pixels of the small crops that go along: of these the emotion recogniser reads the middle 64."""
SIDES = ("AU12", "AU14", "AU43")
"""Action units that each side of a face has for itself; a mirror exchanges them."""


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
        reader: reads the action units of clips that come without; None: such clips have none.
    """

    def __init__(
        self,
        folder: str | Path,
        vae: Any,
        speech: Any,
        device: str | torch.device = "cpu",
        batch: int = 16,
        reader: ActionUnitReader | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.device = torch.device(device)
        self.vae = vae.to(self.device).eval()
        self.speech = speech
        self.batch = batch
        self.reader = reader
        # the decoder does not matter: it may be trained further while latents and denoisers stay good
        encoder = [weights_id(part) for part in (vae.encoder, vae.quant_conv) if part is not None]
        scale = [float(vae.config.scaling_factor), float(vae.config.shift_factor or 0)]
        self._made_from = (*encoder, *scale, weights_id(speech), None if reader is None else weights_id(reader))

    def path(self, clip: TrainingClip, mirrored: bool = False) -> Path:
        """The file of a clip; it need not exist yet."""
        masks = (dub_mask(clip.frames.shape[1]), whole_face_mask(clip.frames.shape[1]))
        labels = (clip.speaker, clip.scene, clip.emotion, clip.intensity, clip.caption, clip.action_units)
        made_from = (*self._made_from, clip.clip_id, len(clip), clip.pts, clip.identity, *masks, *labels, mirrored)
        key = content_id("latents with both masks", FACE_SIDE, *made_from)
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
                    metadata={
                        "clip_id": clip.clip_id,
                        "mirrored": str(mirrored),
                        "scene": f"{clip.scene}/{mirrored}",
                        "emotion": clip.emotion,
                        "intensity": str(clip.intensity),
                        "caption": clip.caption,
                    },
                )
        return path

    @torch.no_grad()
    def _encode(self, clip: TrainingClip, mirrored: bool) -> dict[str, Tensor]:
        size, dtype = clip.frames.shape[1], fast_dtype(self.device)
        frames, labels = (x[:, :, ::-1] if mirrored else x for x in (clip.frames, clip.labels))
        keeps = [1 - torch.from_numpy(mask(size))[None, None].to(self.device) for mask in (dub_mask, whole_face_mask)]
        encoded: list[list[Tensor]] = [[], [], []]
        small = []
        for start in range(0, len(clip), self.batch):
            images = to_images(np.ascontiguousarray(frames[start : start + self.batch])).to(self.device)
            small.append(small_faces(images))
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                for kept, seen in zip(encoded, (images, *(images * keep for keep in keeps)), strict=True):
                    kept.append(encode(self.vae, seen).half().cpu())
        latents, masked, masked_face = (torch.cat(parts) for parts in encoded)
        visible = torch.from_numpy((labels == LIPS).astype(np.float32))[:, None]
        lips = F.adaptive_avg_pool2d(visible, (latents.shape[-2], latents.shape[-1]))
        identity = np.zeros(512, np.float32) if clip.identity is None else clip.identity
        pose = head_pose(kps_from(clip.landmarks)) * ((-1, 1, -1) if mirrored else (1, 1, 1))
        tensors = {
            "latents": latents,
            "masked": masked,
            "masked_face": masked_face,
            "lips": (lips * 255).round().to(torch.uint8),
            "speech": encode_speech(self.speech, clip.audio).half().cpu(),
            "pts": torch.from_numpy(clip.pts.copy()),
            "pose": torch.from_numpy(pose.astype(np.float32)),
            "identity": torch.from_numpy(np.array(identity, np.float32)),
            "small": torch.cat(small),
        }
        units = self._units(clip)
        return tensors if units is None else tensors | {"action_units": mirror_units(units) if mirrored else units}

    def _units(self, clip: TrainingClip) -> Tensor | None:
        if clip.action_units is not None:
            return torch.from_numpy(np.array(clip.action_units, np.float32))
        if self.reader is None:
            return None
        return self.reader.read(torch.from_numpy(np.ascontiguousarray(clip.frames)).permute(0, 3, 1, 2))


def small_faces(images: Tensor) -> Tensor:
    """Images [B,3,S,S] in -1..1 as the emotion recogniser reads them, uint8 [B,3,96,96]."""
    seen = F.interpolate(images, (FACE_SIDE, FACE_SIDE), mode="bilinear", antialias=True, align_corners=False)
    return ((seen.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def mirror_units(units: Tensor) -> Tensor:
    """Action units [...,20] of the mirror image: left and right exchanged."""
    order = list(range(len(AUS)))
    for name in SIDES:
        left, right = AUS.index(f"{name}L"), AUS.index(f"{name}R")
        order[left], order[right] = right, left
    return units[..., order]


def cache_clips(clips: Iterable[TrainingClip], cache: LatentCache, mirror: bool = True) -> list[Path]:
    """The files of all clips (and their mirror images), in order; clips of fewer than two frames are left out."""
    files = []
    for clip in clips:
        if len(clip) >= 2:
            files += [cache.add(clip, mirrored) for mirrored in ((False, True) if mirror else (False,))]
    return files
