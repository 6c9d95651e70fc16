"""The accelerators of this machine and how busy they are, as NVIDIA's own tool says. No GPU context is made for it."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

TOOL = "nvidia-smi"
_ASKED = ("index", "name", "utilization.gpu", "memory.used", "memory.total")
_PATIENCE_S = 10.0
_MIB = float(1 << 20)


@dataclass(frozen=True)
class Gpu:
    """One accelerator: share of the time in which it computed (0..1, None where that is not told), and its memory."""

    index: str
    name: str
    busy: float | None
    used_bytes: float
    total_bytes: float


def gpus() -> list[Gpu]:
    """Those of this machine; none where there is no driver, or where it does not answer."""
    tool = shutil.which(TOOL)
    if tool is None:
        return []
    words = [tool, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    except (subprocess.SubprocessError, OSError):
        return []
    return read_answer(answer.stdout.splitlines())


def read_answer(lines: Sequence[str]) -> list[Gpu]:
    """GPUs from the tool's lines of comma separated values, memory in MiB; lines of another form are left out."""
    found = []
    for values in csv.reader(lines, skipinitialspace=True):
        if len(values) == len(_ASKED):
            used, total = (_number(value) for value in values[3:])
            if used is not None and total is not None:
                busy = _number(values[2])
                share = None if busy is None else busy / 100
                found.append(Gpu(values[0], values[1], share, used * _MIB, total * _MIB))
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]": a partition of a GPU does not tell its use
        return None
