"""Whisper as a whole: what is said, in which language, and what its encoder hears.

Decoding is greedy (temperature 0, nothing carried over from one half minute to the next), so the same sound always
gives the same words, whatever was heard before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from numpy.typing import NDArray

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint
from models.speech import WhisperEncoder, encode_speech
from models.whisper_files import load_whisper

WORDS = 51864
"""Least vocabulary that whisper's own tokenizer fits (English only; 51865 and more are multilingual)."""


@dataclass(frozen=True)
class Heard:
    """Words of a sound (may be empty) and their language, ISO 639-1."""

    text: str
    language: str


class Transcriber:
    """A whisper checkpoint: `transcribe` writes down, `features` are its encoder's last states.

    width: columns of the features (384 of whisper-tiny).
    """

    def __init__(self, model: whisper.model.Whisper) -> None:
        self.model = model.float().eval().requires_grad_(False)
        self.encoder = WhisperEncoder(model, normed_last=True).eval()
        self.width = self.encoder.width

    @torch.no_grad()
    def transcribe(self, audio: NDArray[Any], language: str | None = None) -> Heard:
        """What is said in audio float [N] at 16 kHz; `language` (ISO 639-1) spares the guess."""
        if len(audio) == 0:
            return Heard("", language or "")
        said = self.model.transcribe(
            np.ascontiguousarray(audio, np.float32), verbose=None, temperature=0.0, condition_on_previous_text=False,
            fp16=self.model.device.type == "cuda", language=language,
        )  # fmt: skip
        return Heard(" ".join(str(said["text"]).split()), str(said["language"]))

    def features(self, audio: NDArray[Any]) -> NDArray[np.float16]:
        """Normed last states of the encoder at 50 Hz, float16 [T, width]; feature `j` lies round `j / 50` s."""
        states = encode_speech(self.encoder, np.asarray(audio, np.float32))
        return np.asarray(states[:, -1].cpu().numpy(), np.float16)


def load_transcriber(source: str | Path, device: str = "cpu") -> Transcriber:
    """A transcriber from a file in whisper's format, or from a folder with one. Nothing is downloaded.

    Raises:
        MissingCheckpoint: there is no such file.
        UnusableCheckpoint: it is not in whisper's format, is cut off, or has no words for whisper's tokenizer.
    """
    path = Path(source).expanduser()
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path] if path.is_file() else []
    if len(files) != 1:
        found = f"{len(files)} files *.pt" if path.is_dir() else "no file"
        raise MissingCheckpoint(
            f"no whisper checkpoint at {source}: {found}",
            "Set audio.transcriber to a .pt file of whisper, to whisper_tiny (models/checkpoints.yaml), or to 'none'.",
        )
    model = load_whisper(files[0], device)
    if model.dims.n_vocab < WORDS:
        raise UnusableCheckpoint(
            f"{files[0]} knows {model.dims.n_vocab} words, whisper's tokenizer has {WORDS} or more",
            "It is an encoder with no decoder to speak of: name it in audio.speech instead.",
        )
    return Transcriber(model)
