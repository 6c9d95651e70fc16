"""A disk that runs full while an output is written: a clear stop, nothing half-written, and later it goes on.

The limit on a file's size stands for the disk: the kernel refuses the write in the same place.
"""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import StorageFull
from tests.storage.footage import clicks, make

PLACES = 12


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file grows past `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def noise(frames: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (frames, 64, 96, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        (".mp4", {}), (".mkv", {}), (".mov", {"pix_fmt": "yuv420p10le"}),
        (".mkv", {"subtitles": "subrip", "chapters": True}),
    ],
)  # fmt: skip
def test_wherever_the_disk_runs_full_there_is_a_clear_stop(tmp_path: Path, suffix: str, how: dict[str, object]) -> None:
    source = make(tmp_path / "in.mkv", frames=8, pictures=noise(8), codec="ffv1", sounds=[clicks(0.3, [0.1])], **how)

    def rewrite() -> None:
        media.rewrite_video(source, tmp_path / f"out{suffix}", None, audio=clicks(0.3, [0.2]), audio_rate=48000)

    fails_until_there_is_room(tmp_path / f"out{suffix}", rewrite)


def test_a_portrait_too(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    fails_until_there_is_room(out, lambda: media.write_video(out, noise(8), 25, clicks(0.3, [0.1]), 48000))


def fails_until_there_is_room(out: Path, write: Callable[[], object]) -> None:
    write()
    whole = out.read_bytes()
    others = {path.name for path in out.parent.iterdir()} - {out.name}
    for room in sorted({*np.linspace(0, len(whole) - 1, PLACES).astype(int).tolist(), 1, 100, 4096, len(whole) - 1}):
        for earlier in (None, b"from an earlier run"):
            out.unlink(missing_ok=True)
            if earlier is not None:
                out.write_bytes(earlier)
            with room_for(room), pytest.raises(StorageFull, match="full"):
                write()
            assert {path.name for path in out.parent.iterdir()} - {out.name} == others
            assert (out.read_bytes() if out.exists() else None) == earlier
    write()
    assert out.read_bytes() == whole
