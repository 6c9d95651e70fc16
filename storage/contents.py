"""What a file in an object store holds: hashes of its bytes and of its tracks, as for the same file on a disk.

A store tells when a file changed, not what is in it, so each is fetched once to be known; the note of it lies under
``cache/contents/STAMP.json``. A film that is moved to another bucket, or was on a disk before, is the same film.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from storage.atomic import write_json
from storage.errors import DubwrightError
from storage.fetching import local_copy, remote_stamp
from storage.ids import content_id, file_sha256
from storage.layout import Root
from storage.media_digests import track_digests

_AT_ONCE = 8


@dataclass(frozen=True)
class Content:
    """sha256: of the bytes, 64 hex digits. picture, sound: as `storage.media_digests.track_digests`; the file's own
    source_id for both where it cannot be taken apart."""

    sha256: str
    picture: str
    sound: str


def content_of(uri: str, root: Root | str | os.PathLike[str], limit: int, fetch: bool = True) -> Content | None:
    """Of a remote file; None where that is not known and `fetch` is false.

    Args:
        root, limit: as for `storage.fetching.local_copy`.

    Raises:
        InputRejected, InputFailed, StorageFull: as `storage.fetching.local_copy`.
    """
    note = Root(root).cache / "contents" / f"{remote_stamp(uri)}.json"
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        return Content(**json.loads(note.read_text()))
    if not fetch:
        return None
    with local_copy(uri, root, limit) as copy:
        sha256 = file_sha256(copy)
        try:
            picture, sound = track_digests(copy)
        except DubwrightError:
            picture = sound = content_id("source", sha256)
    found = Content(sha256, picture, sound)
    write_json(note, asdict(found))
    return found


def know(uris: Iterable[str], root: Root | str | os.PathLike[str], limit: int) -> None:
    """Find out what these hold, several at a time. One that cannot be fetched says so when it is asked for."""

    def one(uri: str) -> None:
        with contextlib.suppress(DubwrightError):
            content_of(uri, root, limit)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(one, dict.fromkeys(uris)))
