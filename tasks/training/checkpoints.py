"""Checkpoints of a training run: whole or not at all, on the disk before they count, and read by any number of workers.

    OUT/checkpoints/step-00000200/state.pt     all that a resumed run needs
    OUT/checkpoints/step-00000400/in-doubt     the loss had risen by then
    OUT/checkpoints/step-00000400/pipeline/    and, where the schedule ended, the trained pipeline

They lie beside the curve rather than in Ray's own storage, so that a run goes on with another number of workers, or
with none, and so that a process killed at any moment leaves nothing that a restart could stumble over.
"""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from storage.atomic import directory_written_aside

log = logging.getLogger(__name__)

DOUBT = "in-doubt"
KEPT = 2
"""Checkpoints that stay; the older one is there in case the disk lost the newer."""


class Checkpoints:
    """The checkpoints of the run in folder `out`."""

    def __init__(self, out: str | Path) -> None:
        self.folder = Path(out) / "checkpoints"

    def all(self) -> list[Path]:
        """The folders of the whole ones, the newest last."""
        return sorted(self.folder.glob("step-*"))

    @property
    def last(self) -> Path | None:
        """The folder of the newest, None before the first."""
        return found[-1] if (found := self.all()) else None

    @property
    def last_good(self) -> Path | None:
        """The folder of the newest that was not in doubt when it was written."""
        return found[-1] if (found := [folder for folder in self.all() if not (folder / DOUBT).exists()]) else None

    def write(
        self,
        step: int,
        state: Mapping[str, Any],
        save_pipeline: Callable[[Path], None] | None = None,
        good: bool = True,
    ) -> Path:
        """Keep `state` (plain tensors and numbers) as that of `step`; all but the newest `KEPT` and the last good go.

        Args:
            good: False for a state of which it is in doubt whether it was not lost already.
            save_pipeline: writes the trained pipeline into the folder that it is given.
        Raises:
            StorageFull: the disk is full; the checkpoints before it are untouched.
        """
        target = self.folder / f"step-{step:08d}"
        if target.is_dir():  # of a run that could not read it and came here again
            shutil.rmtree(target)
        with directory_written_aside(target) as partial:
            torch.save(dict(state), partial / "state.pt")
            if save_pipeline is not None:
                save_pipeline(partial / "pipeline")
            if not good:
                (partial / DOUBT).touch()
        for old in self.all()[:-KEPT]:
            if old != self.last_good:
                shutil.rmtree(old)
        return target

    def back_to_good(self) -> Path | None:
        """Remove what came after the last good one; returns its folder, None where there is none."""
        good = self.last_good
        for folder in self.all():
            if good is None or folder > good:
                shutil.rmtree(folder)
        return good

    def read(self, device: str | torch.device = "cpu") -> dict[str, Any] | None:
        """The newest state that can be read, None where there is none."""
        for folder in reversed(self.all()):
            try:
                state: dict[str, Any] = torch.load(folder / "state.pt", map_location=device, weights_only=True)
                return state
            except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
                log.warning("checkpoint %s cannot be read (%s): going on from the one before", folder, error)
        return None
