"""Files appear whole or not at all; locks hold between processes and die with their holder."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from storage import atomic
from storage.atomic import (
    FileLock,
    clear_partials,
    directory_written_aside,
    full_disk_explained,
    write_bytes,
    write_json,
    write_text,
    written_aside,
)
from storage.errors import LockHeld, StorageFull, UsageError


def test_a_file_appears_on_success_only(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "one")

    def write_and_die() -> None:
        with written_aside(target) as partial:
            partial.write_text("two")
            assert target.read_text() == "one"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_die()
    assert target.read_text() == "one"
    with pytest.raises(FileNotFoundError), written_aside(target):
        pass
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_json_has_the_same_bytes_for_the_same_value(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": "ü"})
    write_json(tmp_path / "b", {"a": "ü", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "ü" in (tmp_path / "a").read_text()


def test_a_directory_appears_whole_and_whoever_is_first_stays(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with directory_written_aside(tmp_path / "v") as partial:
            (partial / "sub").mkdir()
            (partial / "sub" / "f").write_text(content)
    assert (tmp_path / "v/sub/f").read_text() == "first"
    with pytest.raises(RuntimeError), directory_written_aside(tmp_path / "w"):
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v"]


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    code = (
        "import os, signal; from storage.atomic import written_aside\n"
        f"with written_aside({str(target)!r}) as p:\n p.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    living = tmp_path / f".a.txt.{next(tmp_path.iterdir()).name.split('.')[3].split('-')[0]}-{os.getpid()}-abc.partial"
    living.write_text("being written by a living process")
    write_text(target, "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, "a.txt"])
    assert clear_partials(target) == 0


def test_what_a_lost_node_left_is_cleared_once_nobody_can_be_at_it(tmp_path: Path) -> None:
    target = tmp_path / "shard"
    whole, folder = tmp_path / ".shard.gone7-11-aa.partial", tmp_path / ".shard.gone8-11-bb.partial"
    fresh, another = tmp_path / ".shard.busy-11-cc.partial", tmp_path / ".shard2.gone7-11-dd.partial"
    written = folder / "inside"
    folder.mkdir()
    for path in (whole, written, fresh, another):
        path.write_text("x")
    long_ago = time.time() - atomic.STALE_S - 60
    for path in (whole, folder, another):
        os.utime(path, (long_ago, long_ago))
    assert clear_partials(target) == 1  # in the folder somebody still writes
    assert not whole.exists() and folder.exists() and fresh.exists()
    for path in (written, folder):
        os.utime(path, (long_ago, long_ago))
    assert clear_partials(target) == 1
    assert not folder.exists() and fresh.exists() and another.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_explained(tmp_path: Path, code: int) -> None:
    with pytest.raises(StorageFull, match="full") as caught, full_disk_explained(tmp_path / "a"):
        raise OSError(code, os.strerror(code))
    assert "MB free" in str(caught.value)
    assert caught.value.remedy
    with pytest.raises(PermissionError), full_disk_explained(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(StorageFull), full_disk_explained(tmp_path / "a"):
        Path("/dev/full").write_text("x" * 100)
    assert (tmp_path / "a").read_text() == "old"


def _count_up(path: str, lock: str, times: int) -> None:
    for _ in range(times):
        with FileLock(lock):
            value = int(Path(path).read_text())
            time.sleep(0.001)
            write_bytes(path, str(value + 1).encode())


def test_a_lock_keeps_processes_and_threads_apart(tmp_path: Path) -> None:
    counter, lock = str(tmp_path / "n"), str(tmp_path / "lock")
    Path(counter).write_text("0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count_up, args=(counter, lock, 10)) for _ in range(2)]
    threads = [threading.Thread(target=_count_up, args=(counter, lock, 10)) for _ in range(2)]
    for worker in [*workers, *threads]:
        worker.start()
    for worker in [*workers, *threads]:
        worker.join(60)
    assert Path(counter).read_text() == "40"


def test_a_held_lock_gives_up_in_time_and_a_dead_holder_frees_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import time; from storage.atomic import FileLock\n"
        f"with FileLock({str(lock)!r}): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeld, match="another process"), FileLock(lock, timeout_s=0.1):
            pass
        holder.kill()
        holder.wait()
        with FileLock(lock, timeout_s=5):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_neither_a_device_nor_a_folder_is_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path):
        with pytest.raises(UsageError, match="is no file"), written_aside(place) as partial:
            partial.write_text("x")
    assert pipe.is_fifo()
