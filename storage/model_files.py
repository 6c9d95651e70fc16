"""What a model folder may hold: weights as safetensors or ONNX, and what is read beside them as data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from storage.errors import InputFailed
from storage.ids import file_sha256

_WEIGHTS = {".safetensors", ".onnx"}
_RUN_CODE = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npz", ".npy", ".h5", ".py"}
_BESIDE = {
    "",
    ".json",
    ".jsonl",
    ".txt",
    ".md",
    ".rst",
    ".csv",
    ".yaml",
    ".yml",
    ".html",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".svg",
}
"""Endings of what may lie beside weights: settings, words, notes, pictures. Nothing else is taken in."""
_LEFT_OUT = {"__pycache__"}
"""Folders that are not looked into, nor are hidden ones."""


def folder_sha256(folder: str | os.PathLike[str]) -> tuple[str, int]:
    """SHA-256 over the sorted relative names and the bytes of a folder's files, and their size in bytes."""
    digest, size = hashlib.sha256(), 0
    place = Path(folder)
    for file in model_files(place):
        digest.update(f"{file.relative_to(place).as_posix()}\n{file_sha256(file)}\n".encode())
        size += file.stat().st_size
    return digest.hexdigest(), size


def model_files(folder: Path) -> list[Path]:
    """A model's files, sorted.

    Raises:
        InputFailed: no such folder, no weights in it, or something that does not belong to a model.
    """
    if not folder.is_dir():
        raise InputFailed(str(folder), "there is no such model folder", "check the path", stage="models")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _left_out(path.relative_to(folder)))
    refused = [path for path in files if path.suffix.lower() not in _WEIGHTS | _BESIDE]
    if refused:
        code = any(path.suffix.lower() in _RUN_CODE for path in refused)
        raise InputFailed(
            str(refused[0]),
            "weights in this format can run code when they are loaded" if code else "does not belong to a model",
            "save the model with safe_serialization (safetensors)" if code else "take it out of the folder",
            stage="models", error_type="UnsafeFormat",
        )  # fmt: skip
    if not any(path.suffix.lower() in _WEIGHTS for path in files):
        raise InputFailed(
            str(folder), "it holds no weights (*.safetensors, *.onnx)", "save the model with save_pretrained",
            stage="models", error_type="NoWeights",
        )  # fmt: skip
    return files


def _left_out(inside: Path) -> bool:
    return any(part in _LEFT_OUT or part.startswith(".") for part in inside.parts)
