"""Saving for a pack, a checkpoint or the registry: what a model is, not from where on which machine it was loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ORIGIN = "_name_or_path"
"""Where diffusers and transformers note the folder that a model came from. Beside telling of somebody's machine, it
would give the same model another name in a registry that goes by content."""


def save_model(model: Any, folder: str | os.PathLike[str]) -> None:
    """The model's own `save_pretrained` (safetensors) into `folder`, made if it is missing, without its origin."""
    model.save_pretrained(folder)
    forget_origin(folder)


def forget_origin(folder: str | os.PathLike[str]) -> None:
    """Take the origin out of every configuration under a folder that `save_pretrained` wrote."""
    for file in Path(folder).rglob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.pop(ORIGIN, None) is not None:
            file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
