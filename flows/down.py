"""`dubwright down`: end what the `dubwright up` of this root started, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

from flows.command import ERROR_RESULT
from flows.options import Options
from flows.services import end_marked
from flows.up import lock_of, read_note, state_folder
from storage.errors import DubwrightError, LockHeld
from storage.layout import Root

PATIENCE_S = 90.0


def bring_down(options: Options) -> tuple[dict[str, Any], str, int]:
    """Ask `up` to end, then insist; then end what still carries its mark, also where `up` itself was killed.

    Raises:
        DubwrightError: it does not end.
    """
    started = time.monotonic()
    root = Root(options.config().root)
    note = read_note(root)
    was_up = _is_up(root)
    if was_up:
        _end(root, int(note["pid"])) if "pid" in note else _wait(root, PATIENCE_S)
        if _is_up(root):
            raise DubwrightError(f"dubwright up on {root} does not end", f"see {state_folder(root)}")
    left = end_marked(note["token"]) if note.get("token") else 0
    (state_folder(root) / "up.json").unlink(missing_ok=True)
    text = "stopped" if was_up else f"ended {left} processes that were left" if left else f"nothing is up on {root}"
    return {**ERROR_RESULT, "seconds": round(time.monotonic() - started, 3), "stopped": was_up, "left": left}, text, 0


def _is_up(root: Root) -> bool:
    if not state_folder(root).is_dir():
        return False
    try:
        with lock_of(root):
            return False
    except LockHeld:
        return True


def _end(root: Root, pid: int) -> None:
    # The lock is held, so the process that wrote its number down is alive: the number is still its own.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait(root, PATIENCE_S):
            return


def _wait(root: Root, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while _is_up(root):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
