"""Files in whisper's format: read as data, from where they lie. Nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

import whisper

from models.checkpoints import UnusableCheckpoint, WrongCheckpoint, read_weights, sha256_of

_ANEW = "Fetch the published file anew: `whisper_tiny` in models/checkpoints.yaml names one."


def load_whisper(path: Path, device: str = "cpu") -> whisper.model.Whisper:
    """The model of a checkpoint file.

    Raises:
        UnusableCheckpoint: it is not in whisper's format, is cut off, or holds code.
    """
    read_weights(path, "a whisper checkpoint")  # as data: whatever whisper's own reader would do with the file
    try:
        return whisper.load_model(str(path), device=device)
    except Exception as error:  # what torch's reader raises of a broken file is of many kinds
        reason = " ".join(str(error).split())[:200]
        raise UnusableCheckpoint(f"{path} is no whisper checkpoint: {type(error).__name__}: {reason}", _ANEW) from error


def kept_by_whisper(name: str) -> Path:
    """Where whisper keeps the file of one of its models; whether it is there is for the caller to see.

    Raises:
        WrongCheckpoint: the file there is not the published one.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"
    address = whisper._MODELS[name]
    path = cache / address.rpartition("/")[2]
    published = address.split("/")[-2]
    if path.is_file() and (digest := sha256_of(path)) != published:
        raise WrongCheckpoint(f"{path} has sha256 {digest}, the published file {published}", _ANEW)
    return path
