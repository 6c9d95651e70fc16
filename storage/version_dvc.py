"""DVC at the root of the data: the one module that touches dvc, whose Python interface is internal.

DVC works without git here (``--no-scm``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from storage.atomic import FileLock
from storage.errors import DubwrightError
from storage.layout import Root

if TYPE_CHECKING:
    from dvc.repo import Repo

_LOCK_S = 300.0
_READ_ONLY = 0o444
_FICLONE = 0x40049409


@contextlib.contextmanager
def dvc_repo(place: Root) -> Iterator[Repo]:
    """The DVC repository at the root, made on first use, opened by one process at a time.

    Raises:
        DubwrightError: what DVC raised.
    """
    import logging

    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    with FileLock(place.local / ".dvc.lock", _LOCK_S):
        try:
            if not (place.local / ".dvc").is_dir():
                place.local.mkdir(parents=True, exist_ok=True)
                Repo.init(str(place.local), no_scm=True).close()
            repo = Repo(str(place.local))
            if repo.config["cache"].get("type") is None:
                with repo.config.edit("repo") as config:
                    config["cache"]["type"] = _links(place.local)
                    config["core"]["analytics"] = False
                repo.close()
                repo = Repo(str(place.local))
            try:
                yield repo
            finally:
                repo.close()
        except DvcException as error:
            raise DubwrightError(f"dvc: {error}", "see the message; `dvc doctor` in the root may tell more") from error


def _links(folder: Path) -> list[str]:
    """How a version lies in the cache and in its folder, as one copy on the disk where that is safe.

    Where the file system shares blocks (XFS, btrfs), by clones. Else by hard links, whose one file is read-only; but
    that keeps nobody from writing to it who is root, so for root a copy stays in the cache.
    """
    if _clones(folder):
        return ["reflink", "copy"]
    return ["copy"] if os.geteuid() == 0 else ["hardlink", "copy"]


def _clones(folder: Path) -> bool:
    """Whether files in a folder can share their blocks (ioctl_ficlone(2))."""
    with tempfile.TemporaryFile(dir=folder) as old, tempfile.TemporaryFile(dir=folder) as new:
        old.write(b"block")
        old.flush()
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
            return True
        except OSError:
            return False


def add(place: Root, folder: Path, linked: Mapping[str, str]) -> str:
    """Put a version's folder under DVC, its files read-only; returns DVC's hash of it.

    Args:
        linked: files of the folder that are links, and to what: DVC knows those already and need not read them.

    Raises:
        DubwrightError: what DVC raised.
    """
    with dvc_repo(place) as repo:
        digests = {name: repo.state.get(old, repo.fs)[1] for name, old in linked.items()}
        known = [(str(folder / name), digest, None) for name, digest in digests.items() if digest is not None]
        repo.state.save_many(known, repo.fs)
        repo.add(str(folder))
        for name, old in linked.items():  # where DVC keeps copies, it makes one of a link as well
            _link_again(Path(old), folder / name)
        repo.state.save_many(known, repo.fs)
    protect(folder)
    return record_of(folder) or ""


def _link_again(old: Path, new: Path) -> None:
    if not os.path.samefile(old, new):
        aside = new.with_name(f".{new.name}.partial")
        with contextlib.suppress(OSError):  # no links on this file system: the copy stays
            os.link(old, aside)
            aside.replace(new)


def protect(folder: Path) -> None:
    """Make a version's files read-only."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(_READ_ONLY)


def record_of(folder: Path) -> str | None:
    """DVC's hash of a version's folder, None where DVC does not have it."""
    try:
        record: dict[str, Any] = yaml.safe_load(folder.with_name(f"{folder.name}.dvc").read_text())
        return str(record["outs"][0]["md5"])
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return None


def altered(place: Root, folder: Path) -> list[str] | None:
    """Names of a version's files that are missing, changed, or not its own; None where DVC cannot tell any more.

    A file whose size, time and inode are as DVC saw them is taken for unchanged, any other is read.
    """
    from dvc_data.hashfile.hash import hash_file
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    digest = record_of(folder)
    if digest is None:
        return None
    with dvc_repo(place) as repo:
        try:
            tree = Tree.load(repo.cache.local, HashInfo("md5", digest))
        except Exception:  # noqa: BLE001 - whatever keeps the listing from being read, it cannot be compared with
            return None
        listed = {"/".join(key): hash_info.value for key, (_, hash_info) in tree.iteritems()}
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        wrong = set(listed) ^ there
        for name in set(listed) & there:
            found = hash_file(str(folder / name), repo.fs, "md5", state=repo.state)[1]
            if found.value != listed[name]:
                wrong.add(name)
    return sorted(wrong)


def restore(place: Root, folder: Path) -> None:
    """Bring a version's folder back: from DVC's cache or remote, or from a root that is not on this machine.

    Raises:
        DubwrightError: its files are nowhere, or DVC's copy is spoilt as well.
    """
    record = folder.with_name(f"{folder.name}.dvc")
    if not place.is_local and not record.is_file():
        place.pull(folder)
        return
    wrong: list[str] = []
    for _ in range(2):  # the second time without the copies in the cache that the first found spoilt
        with dvc_repo(place) as repo:
            try:
                if repo.config["core"].get("remote"):
                    repo.fetch(targets=[str(record)])
                repo.checkout(targets=[str(record)], force=True)
            except Exception as error:
                also = f", and its copy of {', '.join(wrong[:3])} was spoilt" if wrong else ""
                raise _nowhere(folder, f"not here and not in DVC's cache{also} ({error})") from error
        wrong = altered(place, folder) or []
        if not wrong:
            protect(folder)
            return
        _drop_spoilt(place, folder, wrong)
    raise _nowhere(folder, f"changed here and in DVC's remote: {', '.join(wrong[:3])}")


def _drop_spoilt(place: Root, folder: Path, names: list[str]) -> None:
    """Take files that were changed out of a version's folder and out of DVC's cache, which may hold the same copy."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    digest = record_of(folder)
    with dvc_repo(place) as repo:
        if digest is not None:
            tree = Tree.load(repo.cache.local, HashInfo("md5", digest))
            listed = {"/".join(key): hash_info.value for key, (_, hash_info) in tree.iteritems()}
            for name in names:
                if name in listed:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(repo.cache.local.oid_to_path(listed[name]))
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _nowhere(folder: Path, where: str) -> DubwrightError:
    return DubwrightError(
        f"{folder.parent.name}@{folder.name}: its files are {where}",
        "fetch them from the DVC remote, or run the preprocessing again: it makes the same version",
    )
