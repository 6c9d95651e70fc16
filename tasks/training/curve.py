"""The curve of a training run: what its steps measured, for the report, for dvclive and for a run that is resumed.

`curve.jsonl` is the truth and only ever grows by whole lines; dvclive's folder is made from it anew when a run is
resumed, because a process that was killed may have left its files half-written or ahead of the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

from storage.atomic import written_aside

Metrics = Mapping[str, float]


@contextlib.contextmanager
def curve_from(out: str | Path, step: int) -> Iterator[Callable[[Metrics], None]]:
    """Gives a function that notes the metrics of a step (they name their "step"); what came after `step` is cut off."""
    from dvclive import Live  # takes two seconds to import

    folder, path = Path(out) / "dvclive", Path(out) / "curve.jsonl"
    kept = [entry for entry in read_curve(out) if entry["step"] <= step]
    with written_aside(path) as partial:
        partial.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    shutil.rmtree(folder, ignore_errors=True)
    with Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None) as live, path.open("a") as lines:

        def show(metrics: Metrics) -> None:
            live.step = int(metrics["step"])
            for name, value in metrics.items():
                if name != "step":
                    live.log_metric(name, value)

        def note(metrics: Metrics) -> None:
            lines.write(json.dumps(metrics) + "\n")
            lines.flush()
            show(metrics)
            live.make_summary()

        for entry in kept:
            show(entry)
        yield note


def read_curve(out: str | Path) -> list[dict[str, float]]:
    """The metrics noted so far, in order of steps; a torn last line is left out."""
    path, entries = Path(out) / "curve.jsonl", []
    if path.is_file():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
    return entries


def summarise(curve: Sequence[Metrics]) -> dict[str, float]:
    """What a curve comes to, for the registry and the catalog.

    Returns:
        "train_steps"; "train_loss" and "train_loss_start", means over the last and the first tenth of the curve;
        "train_rate", the median of the steps per second. Empty for an empty curve.
    """
    if not curve:
        return {}
    losses, tenth = [entry["loss"] for entry in curve], max(1, len(curve) // 10)
    return {
        "train_steps": int(curve[-1]["step"]),
        "train_loss": fmean(losses[-tenth:]),
        "train_loss_start": fmean(losses[:tenth]),
        "train_rate": median(entry["steps_per_second"] for entry in curve),
    }
