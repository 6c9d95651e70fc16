"""A run of drawn clips in a process of its own, which a test can kill: OUT and the arguments of `fit` as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tasks.config import load_config
from tasks.training.ray_fit import fit
from tests.tasks.training.conftest import drawn_clip


def main(out: str, given: str) -> None:
    settings = json.loads(given)
    rows = [drawn_clip(seed) for seed in range(3)]
    config = load_config("studio", Path(out).parent / "root", settings["config"])
    fit("image", config, rows, settings["init"], out, workers=settings["workers"], overrides=settings["run"])


if __name__ == "__main__":
    main(*sys.argv[1:])
