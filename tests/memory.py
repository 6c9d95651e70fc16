"""How much memory a process took at most."""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """Greatest resident memory of this process so far, MB (Linux).

    Not `resource.getrusage`: its ru_maxrss begins with that of the process that this one was started from.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    raise OSError("/proc/self/status does not tell VmHWM")
