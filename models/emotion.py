"""Emotion recognisers: from a face and from a voice, eight emotions with an intensity.

All are small and trained on the studio (tasks/training/emotion.py). The face recogniser is differentiable and takes
crops of any size: the emotion-consistency loss looks through it. There are two of it: "face" works for the pipeline and
may serve as a loss; "judge" was trained on other people with another seed and only ever judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

PACKS = Path(__file__).parent / "packs"
EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised", "fearful", "disgusted", "contempt")
SIDE = 64
WHOLE, WINDOW = (0.0, 0.0, 1.0), (1 / 6, 0.19, 2 / 3)
"""Left, top and side of what is looked at, in shares of an aligned crop: all of it, or the face from brow to chin."""
DROPOUT = 0.2
"""While it is trained: there are far fewer people than pictures, and they would be learned by heart."""


class MissingEmotion(FileNotFoundError):
    """No emotion recogniser at the given source; `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def look(crops: Tensor, window: Sequence[float], side: int) -> Tensor:
    """The square `window` (left, top, side in shares) of crops [B,3,S,S], as [B,3,side,side]; differentiable."""
    size = crops.shape[-1]
    left, top, across = (round(share * size) for share in window)
    seen = crops[..., top : top + across, left : left + across]
    if seen.shape[-1] == side:
        return seen
    return F.interpolate(seen, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


class FaceEmotion(ModelMixin, ConfigMixin):
    """Reads the emotion of an aligned crop; about two hundred thousand parameters.

    What is not to be read may be grey (0.5): the net learned faces of which only the lower part shows, and faces whose
    lower part feels otherwise than the rest; it goes by the lower part, the one that dubbing repaints.

    Forward: crops float [B, 3, S, S] in 0..1 (tasks/crops.py; any size; their `window` is read at 64 px) →
    (logits [B, 8] over EMOTIONS, intensity [B] about 0..3).
    """

    config_name: Any = "config.json"

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...] = (16, 32, 56, 80, 112),
        width: int = 128,
        signs: int = 26,
        window: tuple[float, float, float] = WHOLE,
    ) -> None:
        super().__init__()
        sizes = (3, *channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 3, stride=2, padding=1) for i in range(len(channels))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, c) for c in channels)
        self.out = nn.Linear(channels[-1] * (SIDE >> len(channels)) ** 2, width)
        self.emotion = nn.Linear(width, len(EMOTIONS))
        self.intensity = nn.Linear(width, 1)
        # What the emotion is read from, 20 action units and 6 movements of speech: learned beside it, so that a mouth
        # that speaks is told from a mouth that feels.
        self.to_signs = nn.Linear(width, signs)

    def features(self, crops: Tensor) -> Tensor:
        """crops float [B, 3, S, S] in 0..1 → expression features [B, width]."""
        x = (look(crops, self.config["window"], SIDE) * 2 - 1).contiguous()  # twice as fast to learn from
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x)))
        return F.gelu(self.out(F.dropout(x.flatten(1), DROPOUT, self.training)))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(crops)
        return self.emotion(features), self.intensity(features)[:, 0]


def image_features(identity: Tensor, crops: Tensor, recogniser: FaceEmotion) -> Tensor:
    """What the emotion space sees of a picture (`models.emotion_control.EmotionSpace.embed_image`): float [B,512 + W].

    Args:
        identity: unit embeddings [B,512] of who it is; zeros where that is not known.
        crops: aligned crops float [B,3,S,S] in 0..1.
    Returns:
        the identity, then the recogniser's features [B,W], each part of unit length.
    """
    return torch.cat([identity, F.normalize(recogniser.features(crops), dim=-1)], dim=-1)


class VoiceEmotion(ModelMixin, ConfigMixin):
    """Reads the emotion of a voice from its prosody and its mean spectrum.

    Forward: prosody float [B, 10] (`tasks.speech.Prosody.vector`), spectrum float [B, 160] (mean and standard deviation
    of the mel frames that hold speech) → (logits [B, 8], intensity [B]).
    """

    config_name: Any = "config.json"

    @register_to_config
    def __init__(self, prosody: int = 10, spectrum: int = 160, width: int = 96) -> None:
        super().__init__()
        self.squeeze = nn.Linear(spectrum, 24)
        self.hidden = nn.Sequential(
            nn.Linear(prosody + 24, width), nn.GELU(), nn.Dropout(0.2), nn.Linear(width, width), nn.GELU()
        )
        self.emotion = nn.Linear(width, len(EMOTIONS))
        self.intensity = nn.Linear(width, 1)

    def forward(self, prosody: Tensor, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        x = self.hidden(torch.cat([prosody, F.gelu(self.squeeze(spectrum))], dim=-1))
        return self.emotion(x), self.intensity(x)[:, 0]


def load_face_emotion(source: str | Path = "studio", kind: str = "face") -> FaceEmotion:
    """The face recogniser ("face", or the "judge") of a shipped pack or of a folder, float32 on the CPU.

    Raises:
        MissingEmotion: there is none.
    """
    model = FaceEmotion.from_pretrained(
        str(_folder(source, kind)), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    return model.float().eval().requires_grad_(False)


def load_voice_emotion(source: str | Path = "studio") -> VoiceEmotion:
    """The voice recogniser of a shipped pack or of a folder, float32 on the CPU. Raises MissingEmotion."""
    model = VoiceEmotion.from_pretrained(
        str(_folder(source, "voice")), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    return model.float().eval().requires_grad_(False)


def _folder(source: str | Path, kind: str) -> Path:
    path = Path(source)
    folder = path if path.is_dir() else PACKS / str(source) / "emotion"
    folder = folder / kind if (folder / kind).is_dir() else folder
    if not (folder / "config.json").is_file():
        raise MissingEmotion(
            f"no emotion recogniser at {source}", "name the pack 'studio' or train one: --stage emotion"
        )
    return folder
