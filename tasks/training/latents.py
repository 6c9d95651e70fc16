"""Latents and speech features, computed once: what the diffusion stages read instead of pictures and sound.

A base with an alignment of its own is given crops that are cut anew out of the clips' (`tasks.training.placement`),
with a note of what they do not cover; the recogniser's small faces and the action units stay those of the clips'.
One safetensors file a clip, named by what it was made from (clip, autoencoder, speech encoder, masks), so that a
changed autoencoder makes new files and an unchanged one finds the old. `tasks/training/batches.py` draws from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from models.action_unit_reader import ActionUnitReader
from models.action_units import AUS
from models.autoencoder import encode, to_images
from models.conventions import Conventions, masked
from models.landmarks106 import kps_from
from models.pipeline import fast_dtype
from models.speech import encode_speech
from storage.atomic import written_aside
from storage.ids import content_id
from tasks.masks import LIPS, model_mask
from tasks.quality import head_pose
from tasks.training.data import TrainingClip
from tasks.training.placement import Placement, warn_of_softness

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
        base: how the denoiser wants its crops; None: as our own models.
        size: side of its crops in pixels; None: that of the clips.
    """

    def __init__(
        self,
        folder: str | Path,
        vae: Any,
        speech: Any,
        device: str | torch.device = "cpu",
        batch: int = 16,
        reader: ActionUnitReader | None = None,
        base: Conventions | None = None,
        size: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.base, self.size = base or Conventions(), size
        self._softness_told = False
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
        size = self.size or clip.frames.shape[1]
        masks = self._masks(size)
        placed: tuple[Any, ...] = ()
        if self.base.alignment != Conventions().alignment or size != clip.frames.shape[1]:
            placed = ("placed", self.base.alignment, size, clip.landmarks)
        if self.base.masked_fill:
            placed = (*placed, "filled", self.base.masked_fill)
        labels = (clip.speaker, clip.scene, clip.emotion, clip.intensity, clip.caption, clip.action_units)
        made_from = (
            *self._made_from,
            clip.clip_id,
            len(clip),
            clip.pts,
            clip.identity,
            *masks,
            *labels,
            mirrored,
            *placed,
        )
        key = content_id("latents with both masks", FACE_SIDE, *made_from)
        return self.folder / key[:2] / f"{key}.safetensors"

    def _masks(self, size: int) -> tuple[NDArray[np.float32], ...]:
        return tuple(model_mask(self.base.alignment, size, whole) for whole in (False, True))

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
        dtype, stored = fast_dtype(self.device), clip.frames.shape[1]
        placement = Placement(clip, self.base.alignment, self.size or stored)
        if not self._softness_told:
            self._softness_told = warn_of_softness(placement, stored)
        masks = [torch.from_numpy(mask)[None, None].to(self.device) for mask in self._masks(placement.size)]
        encoded: list[list[Tensor]] = [[], [], []]
        small = []
        for start in range(0, len(clip), self.batch):
            part = slice(start, min(start + self.batch, len(clip)))
            images = self._images(placement.frames(part), mirrored)
            small.append(
                small_faces(images if placement.matrices is None else self._images(clip.frames[part], mirrored))
            )
            hidden = (masked(images, mask, self.base.masked_fill) for mask in masks)
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                for kept, seen in zip(encoded, (images, *hidden), strict=True):
                    kept.append(encode(self.vae, seen).half().cpu())
        latents, masked_dub, masked_face = (torch.cat(parts) for parts in encoded)
        shape = (latents.shape[-2], latents.shape[-1])
        lips = F.adaptive_avg_pool2d(self._map(placement.labelled(LIPS), mirrored), shape)
        identity = np.zeros(512, np.float32) if clip.identity is None else clip.identity
        pose = head_pose(kps_from(clip.landmarks)) * ((-1, 1, -1) if mirrored else (1, 1, 1))
        tensors = {
            "latents": latents,
            "masked": masked_dub,
            "masked_face": masked_face,
            "lips": (lips * 255).round().to(torch.uint8),
            "speech": encode_speech(self.speech, clip.audio).half().cpu(),
            "pts": torch.from_numpy(clip.pts.copy()),
            "pose": torch.from_numpy(pose.astype(np.float32)),
            "identity": torch.from_numpy(np.array(identity, np.float32)),
            "small": torch.cat(small),
        }
        if placement.matrices is not None:
            tensors["own"] = _surely(self._map(placement.covered(), mirrored), shape)
        units = self._units(clip)
        return tensors if units is None else tensors | {"action_units": mirror_units(units) if mirrored else units}

    def _images(self, frames: NDArray[np.uint8], mirrored: bool) -> Tensor:
        return to_images(np.ascontiguousarray(frames[:, :, ::-1] if mirrored else frames)).to(self.device)

    def _map(self, maps: NDArray[np.float32], mirrored: bool) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(maps[:, :, ::-1] if mirrored else maps))[:, None]

    def _units(self, clip: TrainingClip) -> Tensor | None:
        if clip.action_units is not None:
            return torch.from_numpy(np.array(clip.action_units, np.float32))
        if self.reader is None:
            return None
        return self.reader.read(torch.from_numpy(np.ascontiguousarray(clip.frames)).permute(0, 3, 1, 2))


def _surely(covered: Tensor, shape: tuple[int, int]) -> Tensor:
    """uint8 [T,1,h,w], 1 for latents of which all pixels, and the neighbours' too, are covered (float [T,1,S,S])."""
    missing = F.adaptive_max_pool2d(1 - covered, shape)
    return (F.max_pool2d(missing, 3, stride=1, padding=1) < 0.01).to(torch.uint8)


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
