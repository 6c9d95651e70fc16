"""Files of an object store: brought here whole, once, and removed when they are in the way."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from storage.errors import ConfigError, InputFailed, InputRejected
from storage.fetching import exists, files_below, is_folder, is_remote, local_copy, local_path, make_room, remote_stamp
from storage.layout import Root


@pytest.fixture
def bucket() -> Iterator[str]:
    """An address in a store of this process."""
    uri = f"memory://bucket-{uuid4().hex}/films"
    yield uri
    fsspec.filesystem("memory").rm(uri.removeprefix("memory:/"), recursive=True)


def put(uri: str, data: bytes) -> str:
    with fsspec.open(uri, "wb") as stream:
        stream.write(data)
    return uri


def test_local_paths_are_themselves(root: Root, tmp_path: Path) -> None:
    with local_copy(str(tmp_path / "a.mp4"), root) as path:
        assert path == tmp_path / "a.mp4"
    with local_copy("file:///x/a.mp4", root) as path:
        assert str(path) == local_path("file:///x/a.mp4") == "/x/a.mp4"
    assert not is_remote("/a:b.mp4") and not is_remote("file:///a") and is_remote("s3://a")


def test_a_file_is_fetched_once_for_all_who_read_it(bucket: str, root: Root) -> None:
    uri = put(f"{bucket}/a b#1?.mp4", b"film")
    with local_copy(uri, root) as path, local_copy(uri, str(root)) as again:
        assert path == again and path.read_bytes() == b"film"
        assert path.is_relative_to(root.cache) and path.name == "a b#1?.mp4"
        first = path.stat().st_ino
    with local_copy(uri, root) as path:
        assert path.stat().st_ino == first


def test_new_content_is_another_copy(bucket: str, root: Root) -> None:
    uri = put(f"{bucket}/a.mp4", b"film")
    before = remote_stamp(uri)
    assert remote_stamp(uri) == before
    with local_copy(uri, root) as old:
        put(uri, b"another")
        assert remote_stamp(uri) != before
        with local_copy(uri, root) as new:
            assert (old.read_bytes(), new.read_bytes()) == (b"film", b"another")


def test_copies_that_nobody_reads_make_room(bucket: str, root: Root) -> None:
    uris = [put(f"{bucket}/{name}.mp4", bytes(100)) for name in "abc"]
    with local_copy(uris[0], root, limit=250) as kept:
        with local_copy(uris[1], root, limit=250) as unread:
            pass
        os.utime(kept.parent, (1, 1))  # longest unread, but in use
        with local_copy(uris[2], root, limit=250) as last:
            assert kept.exists() and last.exists() and not unread.exists()
    assert make_room(root.cache / "fetched", 100) == 100
    assert not kept.exists()
    assert make_room(root.cache / "fetched", 0) == 100
    with pytest.raises(InputRejected, match="bytes") as caught, local_copy(uris[0], root, limit=99):
        pass
    assert (caught.value.value, caught.value.threshold) == (100, 99)


def test_many_readers_and_little_room(bucket: str, root: Root) -> None:
    uris = [put(f"{bucket}/{name}.mp4", name.encode() * 100) for name in "abcd"]
    wrong: list[BaseException | bytes] = []

    def read(first: int) -> None:
        try:
            for turn in range(25):
                uri = uris[(first + turn * (1 + first % 2)) % 4]
                with local_copy(uri, root, limit=150) as path:
                    data = path.read_bytes()
                    if data != uri[-5].encode() * 100:
                        wrong.append(data)
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_the_lock_of_a_copy_goes_after_it(bucket: str, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_copy(put(f"{bucket}/a.mp4", b"film"), root) as path:
        place = path.parent
    gone, unlink = [], os.unlink

    def noted(target: Any, **told: Any) -> None:
        gone.append(os.path.basename(target))
        unlink(target, **told)

    monkeypatch.setattr(os, "unlink", noted)
    assert make_room(place.parent, 0) == 4
    assert gone == ["a.mp4", ".lock"] and not place.exists()


def test_what_is_not_there(bucket: str, root: Root) -> None:
    put(f"{bucket}/a.mp4", b"film")
    assert exists(f"{bucket}/a.mp4") and is_folder(bucket) and not exists(f"{bucket}/b.mp4")
    for uri, why in ((f"{bucket}/b.mp4", "no such file"), (bucket, "folder")):
        with pytest.raises(InputFailed, match=why) as caught, local_copy(uri, root):
            pass
        assert caught.value.path == uri and caught.value.stage == "fetch"
    with pytest.raises(ConfigError, match="nosuchscheme"):
        exists("nosuchscheme://bucket/a.mp4")


def test_a_folder_is_listed_by_suffix(bucket: str) -> None:
    for name in ("b/2.MP4", "a.mp4", "notes.txt", ".hidden/x.mp4", "b/.y.mp4"):
        put(f"{bucket}/{name}", b"x")
    found = files_below(bucket, {".mp4"})
    assert [name.split("/films/")[1] for name in found] == ["a.mp4", "b/2.MP4"]
    assert all(exists(name) for name in found)
