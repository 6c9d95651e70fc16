"""What a person or a program sees: results on standard output, everything else on standard error.

Ray, Prefect and C libraries print to file descriptor 1 when they like. So the real standard output is put aside at the
start, descriptor 1 leads to standard error from then on, and only `emit` writes to the real one.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Self

from storage.masking import masked

PLAIN_EVERY_S = 5.0  # how often a progress line is repeated where there is no terminal
STATUS_MARKS = {"ok": "ok", "rejected": "rejected", "failed": "FAILED"}

_COMMANDS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_COMMANDS |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Control characters, and those that turn the direction of writing."""

_results: IO[str] | None = None


def take_stdout() -> None:
    """From now on only `emit` and `emit_json` reach standard output. Safe to call again."""
    global _results
    if _results is None:
        sys.stdout.flush()
        _results = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr


def emit(text: str) -> None:
    """Write a result for people to standard output."""
    _write(masked(printable(text)))


def _write(text: str) -> None:
    stream = _results or sys.stdout
    stream.write(text + "\n")
    stream.flush()


def emit_json(value: Mapping[str, Any]) -> None:
    """Write the one JSON object of `--json` to standard output; what JSON cannot say (NaN, infinity) becomes null."""
    _write(masked(json.dumps(plain(value), ensure_ascii=False, allow_nan=False)))


def say(text: str) -> None:
    """Write a line about what goes on to standard error."""
    _tell(masked(printable(text)) + "\n")


def _tell(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:  # who listened has gone, a killed worker for example: the run goes on, and nobody is told
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)


def printable(text: str) -> str:
    """The text with what a terminal would obey (escape sequences, reversed writing) told by its code instead: names of
    files and captions come from outside."""
    return text.translate(_COMMANDS)


class Progress:
    """How far a stage is: one line that renews itself on a terminal, a plain line now and then elsewhere.

    Use as a context manager; call `advance` per finished item.

    Args:
        title: what is being done, a few words.
        total: how many items there are; 0 where nobody knows.
    """

    def __init__(self, title: str, total: int = 0, unit: str = "items") -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.counts: dict[str, int] = {}
        self._start = self._last = time.monotonic()
        self._live = sys.stderr.isatty()
        self._inner: tuple[str, int, int, float] | None = None
        self._parts: dict[int, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self._write(final=True)
        elif self._live:
            _tell("\n")

    def advance(self, status: str = "ok", steps: int = 1, total: int | None = None) -> None:
        """Count `steps` finished items that ended as `status`; `total` corrects the expected number."""
        self._inner = None
        self.done += steps
        self.total = self.total if total is None else total
        self.counts[status] = self.counts.get(status, 0) + steps
        self._write_now_and_then()

    def within(self, what: str, done: int, total: int) -> None:
        """How far the item under way is: ``rendering``, 120 of 250 frames."""
        began = self._inner[3] if self._inner and self._inner[0] == what else time.monotonic()
        self._inner = (what, done, total, began)
        self._write_now_and_then()

    def inside(self, number: int, done: int, total: int) -> None:
        """How far item `number` is, of several that are under way at once: 3 of 20 of its parts."""
        self._parts[number] = (done, total)
        self._write_now_and_then()

    def line(self, final: bool = False) -> str:
        """The current line, e.g. ``dub: 3/8 videos, 1 failed, ETA 0:40``."""
        elapsed = time.monotonic() - self._start
        of = f"/{self.total}" if self.total else ""
        parts = [f"{self.title}: {self.done}{of} {self.unit}"]
        parts += [f"{count} {name}" for name, count in self.counts.items() if name != "ok"]
        if final:
            parts.append(duration(elapsed))
        elif self._inner:
            what, done, total, began = self._inner
            parts.append(f"{what} {done}/{total} frames")
            if done:
                parts.append(f"ETA {duration((time.monotonic() - began) / done * max(0, total - done))}")
        elif self._parts:
            done, total = (sum(each) for each in zip(*self._parts.values(), strict=True))
            parts.append(f"{done}/{total} parts of {len(self._parts)} rendered")
            if self.total and done:
                whole = total / len(self._parts) * self.total
                parts.append(f"ETA {duration(elapsed / done * max(0.0, whole - done))}")
        elif self.total and self.done:
            parts.append(f"ETA {duration(elapsed / self.done * max(0, self.total - self.done))}")
        return ", ".join(parts)

    def _write_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._last >= (0.1 if self._live else PLAIN_EVERY_S):
            self._last = now
            self._write()

    def _write(self, final: bool = False) -> None:
        if not self._live:
            say(self.line(final))
            return
        share = self.done / self.total if self.total else float(final)
        filled = min(24, round(24 * share))
        ending = "\n" if final else ""
        _tell(f"\r\x1b[2K[{'█' * filled}{'·' * (24 - filled)}] {self.line(final)}{ending}")


def duration(seconds: float) -> str:
    """``3.2 s``, ``1:05`` (minutes), ``2:01:05`` (hours)."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows as aligned text under a header; numbers to the right, empty for None."""
    if not rows:
        return "(none)"
    names = list(columns or rows[0])
    cells = [names, *([cell(row.get(name)) for name in names] for row in rows)]
    numeric = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in names]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    lines = []
    for line in cells:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value as a table shows it: short numbers, empty for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(entry) for entry in value)
    return str(value)


def plain(value: Any) -> Any:
    """What JSON can hold of a value: NaN and infinity as null, arrays as lists, paths and others as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(entry) for entry in value.tolist()] if hasattr(value, "tolist") else [plain(e) for e in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    return str(value)
