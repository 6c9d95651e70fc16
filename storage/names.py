"""Names that users give: of datasets, tags and models. They become files and folders, so they cannot be paths."""

from __future__ import annotations

from storage.errors import UsageError

LONGEST = 100
"""Letters of a name: with an ending it still is a file name everywhere."""


def check_name(name: str) -> None:
    """Refuse what cannot be a name: a path, or anything that a file system or a shell takes for something else.

    Raises:
        UsageError: it cannot.
    """
    spelled = all(letter.isalnum() or letter in "-_." for letter in name)
    if not name or not spelled or name[0] in ".-" or len(name.encode()) > LONGEST:
        shown = f"{name[:40]!r}" + ("…" if len(name) > 40 else "")
        raise UsageError(
            f"{shown} cannot be a name", f"use letters, digits, dashes, dots and underscores, {LONGEST} bytes at most"
        )
