"""What a run reads: one input, and what its corpus or manifest says of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".3gp")
)
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
AUDIO_SUFFIXES = frozenset((".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".wma", ".aif", ".aiff"))
MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES | IMAGE_SUFFIXES


@dataclass(frozen=True)
class Source:
    """An input and what its corpus or manifest says of it; None where nothing is said.

    gender: how a caption may call the speaker: "woman" or "man"; nobody is guessed.

    audio: the file with its sound, on the video's time line, where a corpus keeps the two apart; None: in `uri`.
    refused: why it is left out unread (its name says nothing, its picture is missing, …); None: it is to be read.
    """

    uri: str
    speaker: str | None = None
    emotion: str | None = None
    intensity: int | None = None
    text: str | None = None
    caption: str | None = None
    gender: str | None = None
    split: str | None = None
    licence: str | None = None
    consent: str | None = None
    audio: str | None = None
    refused: str | None = None

    @property
    def sound(self) -> str:
        """The file to read the sound from."""
        return self.audio or self.uri

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a Ray row."""
        return asdict(self)
