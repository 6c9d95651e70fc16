"""Reads media files as the steps do, in a process of its own, and says after each how it went.

``python -m tests.fuzz_reading < names``: for every line, ``{"start": name}`` and then
``{"name": …, "status": …, "seconds": …, "mb": …, "errors": […]}`` in JSON, where errors are those that are none of the
program's own kind. `watched` runs it over many files and outlives whatever a file does to it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


@dataclass
class Verdict:
    """How a file was read: `status` of its row, or hang, crash or memory; `errors` lists what should not have been."""

    name: str
    status: str
    seconds: float = 0.0
    mb: float = 0.0
    reason: str = ""
    errors: list[str] = field(default_factory=list)


def read(name: str, config: Any) -> Verdict:
    """Probe, decode all frames and all sound, hash the tracks; never raises."""
    from storage import media
    from storage.errors import DubwrightError
    from tasks.probe import Source, probe_source
    from tests.memory import peak_mb

    started, errors = time.perf_counter(), []
    row, _ = probe_source(Source(name), "fuzz", config)
    if row["error_type"] in _NOT_TOLD:
        errors.append(f"probe: {row['error_type']}: {row['reason']}")
    steps: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("frames", lambda: [None for _ in media.iter_frames(name, threads=1)]),
        ("middle", lambda: [None for _ in media.iter_frames(name, 0.2, 0.3, threads=1)]),
        ("sound", lambda: media.read_audio(name)),
        ("sound of a second", lambda: media.read_audio(name, 16000, 0.1, 1.1)),
        ("tracks", lambda: media.track_digests(name)),
    )
    for step, act in steps:
        try:
            act()
        except DubwrightError:
            pass
        except Exception as error:  # noqa: BLE001 - what is looked for
            errors.append(f"{step}: {type(error).__name__}: {error}")
    mb = peak_mb()
    return Verdict(name, row["status"], time.perf_counter() - started, mb, row["reason"] or "", errors)


_NOT_TOLD = (
    "TypeError",
    "KeyError",
    "AttributeError",
    "IndexError",
    "ZeroDivisionError",
    "AssertionError",
    "ValueError",
)


def main() -> None:
    from tasks.config import load_config

    config = load_config()
    for line in sys.stdin:
        name = json.loads(line)
        _say({"start": name})
        _say(read(name, config).__dict__)


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def watched(paths: Sequence[Path], limit_s: float = 10.0, limit_mb: float = 1500.0) -> list[Verdict]:
    """One verdict a file, in a child process that is started again after a file that killed it or did not end."""
    waiting = [str(path) for path in paths]
    verdicts: list[Verdict] = []
    while waiting:
        done = _child(waiting, limit_s, limit_mb)
        verdicts += done
        waiting = waiting[len(done) :]
    return verdicts


def _child(names: list[str], limit_s: float, limit_mb: float) -> list[Verdict]:
    """Verdicts of one child, up to and including that of the file that ended it."""
    lines: SimpleQueue[str] = SimpleQueue()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz_reading"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=PROJECT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:  # fmt: skip
        assert child.stdin is not None and child.stdout is not None

        def feed(stream: Any = child.stdin) -> None:
            try:
                stream.write("".join(json.dumps(name) + "\n" for name in names))
                stream.close()
            except BrokenPipeError:
                pass

        def listen(stream: Any = child.stdout) -> None:
            for line in stream:
                lines.put(line)

        for target in (feed, listen):
            Thread(target=target, daemon=True).start()
        verdicts: list[Verdict] = []
        current, since = "", time.monotonic() + 60  # the first file waits for the imports
        while len(verdicts) < len(names):
            try:
                said = json.loads(lines.get(timeout=0.25))
            except Empty:
                spent = time.monotonic() - since
                if child.poll() is not None and lines.empty():
                    verdicts.append(Verdict(current or names[0], "crash", spent, errors=[f"exit {child.returncode}"]))
                    break
                if spent > limit_s or (current and _resident_mb(child.pid) > limit_mb):
                    how = "hang" if spent > limit_s else "memory"
                    verdicts.append(Verdict(current or names[0], how, spent, errors=[how]))
                    child.kill()
                    break
                continue
            since = time.monotonic()
            if "start" in said:
                current = said["start"]
            else:
                verdicts.append(Verdict(**said))
    return verdicts


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


if __name__ == "__main__":
    main()
