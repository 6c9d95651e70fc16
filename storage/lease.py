"""A lock between machines: an object in a store, which says who holds it and until when.

A holder that lives renews it; one that died loses it when its time is up. Machines' clocks must agree to well within
the time that it is given for (NTP does).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Any

from storage.errors import LockHeld

TERM_S = 120.0
"""For how long a lease is given; it is renewed when a third of that is over."""
_PAUSE_S = 0.25


class Lease:
    """Held while the block runs; who comes meanwhile waits.

    Args:
        filesystem, path: where the object lies (fsspec).
        patience_s: how long to wait.
        term_s: after which a holder that gives no sign of life has lost it.

    Raises:
        LockHeld: on entering, when the patience is at its end; names the holder.
    """

    def __init__(self, filesystem: Any, path: str, patience_s: float = 600.0, term_s: float = TERM_S) -> None:
        self._filesystem, self._path = filesystem, path
        self._patience_s, self._term_s = patience_s, term_s
        self._token = secrets.token_hex(8)
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Lease:
        deadline = time.monotonic() + self._patience_s
        while not self._taken():
            holder = self._holder()
            if holder is not None and float(holder.get("until", 0.0)) < time.time():
                self._remove(str(holder.get("token")))
            elif time.monotonic() > deadline:
                who = "another run" if holder is None else f"{holder.get('host')} (process {holder.get('pid')})"
                raise LockHeld(
                    f"{self._path}: held by {who} for more than {self._patience_s:g} s",
                    "wait for the other run to end, or give this one another --root",
                )
            else:
                time.sleep(_PAUSE_S)
        self._renewer = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
        self._remove(self._token)

    def _taken(self) -> bool:
        # Stores with conditional writes (S3 and its like) let one of several win; with others the object is looked for
        # first, which leaves a moment in which two may think so. Reading it again settles that.
        try:
            self._filesystem.pipe_file(self._path, self._note(), mode="create")
        except FileExistsError:
            return False
        holder = self._holder()
        return holder is not None and holder.get("token") == self._token

    def _note(self) -> bytes:
        note = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid(),
                "until": time.time() + self._term_s}  # fmt: skip
        return json.dumps(note).encode()

    def _holder(self) -> dict[str, Any] | None:
        self._filesystem.invalidate_cache()
        try:
            note: dict[str, Any] = json.loads(self._filesystem.cat_file(self._path))
        except (FileNotFoundError, ValueError):
            return None
        return note

    def _remove(self, token: str) -> None:
        holder = self._holder()
        if holder is not None and holder.get("token") == token:
            with contextlib.suppress(FileNotFoundError):
                self._filesystem.rm_file(self._path)

    def _renew(self) -> None:
        while not self._ended.wait(self._term_s / 3):
            with contextlib.suppress(OSError):  # the store is away for a moment; the next try may reach it
                self._filesystem.pipe_file(self._path, self._note())
