"""Which corpora are known, and which of them a folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storage.errors import UsageError
from tasks.corpora import crema_d, hdtf, mead, ravdess, voxceleb2
from tasks.corpora.reading import Layout

LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT for module in (mead, hdtf, crema_d, ravdess, voxceleb2)
}  # fmt: skip
AUTO, FOLDER = "auto", "folder"
CHOICES = (AUTO, FOLDER, *LAYOUTS)

_LOOKED_AT = 400
_MAJORITY = 0.5


def layout_named(name: str) -> Layout | None:
    """The corpus of that name; None for `AUTO` and `FOLDER`.

    Raises:
        UsageError: none of `CHOICES`.
    """
    if name not in CHOICES:
        raise UsageError(f"no corpus layout {name!r}", f"choose one of {', '.join(CHOICES)}")
    return LAYOUTS.get(name)


def recognise(files: Sequence[Path]) -> Layout | None:
    """The corpus whose naming scheme most of these media files follow; None where none does.

    Of a large tree, files spread over it are looked at. Some strange names do not hide a corpus, and a single file of
    a corpus among one's own footage does not make it one.
    """
    if not files:
        return None
    looked_at = files[:: max(1, len(files) // _LOOKED_AT)]
    shares = {name: sum(map(layout.fits, looked_at)) / len(looked_at) for name, layout in LAYOUTS.items()}
    best = max(shares, key=lambda name: shares[name])
    return LAYOUTS[best] if shares[best] > _MAJORITY else None
