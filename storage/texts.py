"""Small text files that users give: manifests, turns, subtitles. Bounded, and never a pipe that is waited for."""

from __future__ import annotations

import errno
import os
import stat

MOST_BYTES = 64 << 20
"""A manifest of half a million rows takes less."""
LONGEST_LINE = 1 << 20


def read_text(path: str | os.PathLike[str], most: int = MOST_BYTES) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Args:
        most: bytes at most.

    Raises:
        OSError: it cannot be opened, is no regular file (a pipe, a device), or larger than `most`.
        UnicodeDecodeError: it is no UTF-8 text.
    """
    name = os.fspath(path)
    with open(name, "rb", opener=_without_waiting) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", name)
        data = stream.read(most + 1)  # files of /proc say that they are empty
    if len(data) > most:
        raise OSError(errno.EFBIG, f"is larger than {most >> 20} MiB", name)
    if max(map(len, data.split(b"\n")), default=0) > LONGEST_LINE:
        raise OSError(errno.EFBIG, f"has a line of more than {LONGEST_LINE >> 20} MiB", name)
    return data.decode("utf-8-sig")


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes to is opened all the same, and found to be one."""
    return os.open(path, flags | os.O_NONBLOCK)
