"""The nodes of a cluster: what each must have and see before it is given work, and which of them are gone.

A run leaves everything that it makes under its root and goes on from what lies there, so a node is of use only where it
sees the same root, runs the same code, and takes notice of the locks that others hold. A node that does not would spoil
the work of the others in silence; so each is asked, at the start of a run and again by every worker that starts later
(an autoscaler brings nodes when it pleases).
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import platform
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from storage.atomic import FileLock
from storage.errors import ConfigError, LockHeld
from storage.layout import Root

SHAPING = ("av", "diffusers", "insightface", "numpy", "onnxruntime", "openai-whisper", "opencv-python", "pillow",
           "pyarrow", "scipy", "soxr", "torch", "transformers")  # fmt: skip
"""Packages whose version may change what comes out."""
_BUILDS = {"onnxruntime": "onnxruntime-gpu", "opencv-python": "opencv-python-headless"}
"""Those that a node may have under another name."""
Fault = tuple[str, str]
"""(what is wrong with a node, what to do about it)."""
_NONE = "none"
_CODE = Path(__file__).resolve().parents[1]
_ROOMS = ("models", "storage", "tasks")
_ASKED_S = 120.0
_SEEN_S = 5.0
"""A file just written may take so long to be seen on another node (NFS keeps listings for a while)."""
_GONE_S = 5.0
"""A worker's death is told before that of its node by about this much, where the node went down in order."""
_MOST_FOLDERS = 32
_SAME_CODE = "deploy the same image or checkout to every node, and start its Ray from there"


@dataclass(frozen=True)
class Expected:
    """What a node must have in common with the driver; plain values, so that it travels.

    seal: a file under the root on which the driver holds a lock. folder: from where relative paths count. facts: name →
    version of what shapes results.
    """

    root: str
    seal: str
    folder: str
    facts: dict[str, str]


def expected(root: Root) -> Expected:
    """Of this process and that root, which must exist."""
    return Expected(str(root.local), str(_seal(root)), os.getcwd(), versions())


@functools.cache
def versions() -> dict[str, str]:
    """Python, this project's code (a hash of its files) and the packages that shape results."""
    found = {"Python": platform.python_version(), "dubwright": f"{_installed('dubwright')} (code {_code()})"}
    for name in SHAPING:
        version = _installed(name)
        if version == _NONE and name in _BUILDS:
            version = _installed(_BUILDS[name])
        found[name] = version.partition("+")[0]  # 2.13.0+cpu and 2.13.0+cu130 are one version for two devices
    return found


def faults(wanted: Expected, folders: Sequence[str] = (), *, patience_s: float = _SEEN_S) -> list[Fault]:
    """Everything that is wrong with this node.

    Args:
        folders: that the work reads or writes.
        patience_s: how long to look for the driver's file under the root.
    """
    here = versions()
    found = [
        (f"runs {name} {here.get(name, _NONE)}, the driver runs {version}", _SAME_CODE)
        for name, version in wanted.facts.items()
        if here.get(name) != version
    ]
    seal = Path(wanted.seal)
    deadline = time.monotonic() + patience_s
    while not seal.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if not seal.exists():
        return [*found, (
            f"does not see the root {wanted.root} of this run",
            "put --root (of an object store: DUBWRIGHT_MIRROR) on storage that every node mounts at the same path",
        )]  # fmt: skip
    if not os.access(wanted.root, os.W_OK):
        found.append((f"may not write to the root {wanted.root}", "let its user write there"))
    elif not _locks_reach(seal):
        found.append((
            f"takes no notice of locks that other nodes hold in {wanted.root}",
            "mount it so that flock reaches all nodes (NFS 4 without local_lock, CephFS, Lustre with -o flock)",
        ))  # fmt: skip
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    if missing:
        more = f" nor {len(missing) - 1} others" if missing[1:] else ""
        found.append((
            f"does not see {missing[0]}{more}", "put inputs, outputs and models where every node sees them at that path"
        ))  # fmt: skip
    return found


def asked_nodes(wanted: Expected, folders: Sequence[str] = ()) -> Iterator[tuple[dict[str, Any], list[Fault]]]:
    """Every living node by Ray's table, this one first, each with what `faults` finds there."""
    nodes = sorted(living(), key=lambda node: (node["NodeID"] != node_id(), node["NodeManagerAddress"]))
    asked = [
        _ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            wanted, folders
        )
        for node in nodes
    ]
    for answer, node in zip(asked, nodes, strict=True):
        try:
            yield node, ray.get(answer, timeout=_ASKED_S)
        except GetTimeoutError:
            yield node, [("does not answer", "look at its Ray (`ray status`), or take it out")]
        except RayError as error:
            if not is_lost(node["NodeID"]):
                yield node, [(f"cannot run this dubwright: {_last_line(error)}", _SAME_CODE)]


def check_nodes(wanted: Expected, folders: Sequence[str]) -> None:
    """Ask every living node, where there are others than this one.

    Raises:
        ConfigError: one of them cannot take part; it says which, why, and what to do.
    """
    if node_ids() == {node_id()}:
        return  # a worker there asks for itself, and starting one to ask takes seconds
    for node, wrong in asked_nodes(wanted, folders):
        if wrong:
            raise ConfigError(f"{name_of(node)} {'; '.join(what for what, _ in wrong)}", wrong[0][1])


def take_part(wanted: Expected | None) -> None:
    """For a worker as it starts: settle in the driver's folder; nothing where Ray is the driver's own.

    Raises:
        ConfigError: this node cannot take part.
    """
    if wanted is None:
        return
    wrong = faults(wanted)
    if wrong:
        raise ConfigError(f"node {socket.gethostname()} {wrong[0][0]}", wrong[0][1])
    with suppress(OSError):  # the folder matters to relative paths only, and the driver's root is none
        os.chdir(wanted.folder)


def living() -> list[dict[str, Any]]:
    """Ray's table of the nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def name_of(node: Mapping[str, Any]) -> str:
    """A node as people know it."""
    return f"node {node['NodeManagerAddress']} ({node['NodeManagerHostname']})"


def node_id() -> str:
    """Of the node that this process runs on; empty without Ray."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def node_ids() -> set[str]:
    """Of the living; none without Ray."""
    return {node["NodeID"] for node in living()} if ray.is_initialized() else set()


def is_lost(node: str, patience_s: float = 0.0) -> bool:
    """Whether a node has left the cluster: killed, taken back, cut off.

    Args:
        node: id; of none nothing is known to be lost.
        patience_s: how long to wait for the news.
    """
    if not node or not ray.is_initialized():
        return False
    deadline = time.monotonic() + patience_s
    while node in node_ids():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


def any_lost(nodes: set[str], patience_s: float) -> bool:
    """Whether one of several nodes has left the cluster, or does so soon."""
    deadline = time.monotonic() + (patience_s if len(nodes) > 1 else 0.0)
    while not nodes - node_ids():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)
    return True


def died_with_its_node(node: str) -> bool:
    """Whether a worker that has died did so for the loss of its node, which is no fault of its work."""
    if not node or node == node_id():
        return False
    return is_lost(node, _GONE_S)


def folders_of(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The folders in which these local files lie, or are to lie, as far as they exist; of very many the first."""
    found: dict[str, None] = {}
    for path in paths:
        text = os.fspath(path)
        if "://" in text:
            continue
        folder = os.path.dirname(os.path.abspath(text))
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        found[folder] = None
        if len(found) == _MOST_FOLDERS:
            break
    return list(found)


@ray.remote(num_cpus=0, max_retries=0)
def _ask(wanted: Expected, folders: Sequence[str]) -> list[Fault]:
    return faults(wanted, folders)


_held: dict[str, tuple[Path, FileLock]] = {}


def _seal(root: Root) -> Path:
    """A file under the root that is locked for as long as this process lives."""
    if root.uri in _held:
        return _held[root.uri][0]
    folder = root.cache / "nodes"
    for old in folder.glob("[!.]*"):  # of drivers that were killed
        with suppress(LockHeld, OSError), FileLock(old, 0):
            old.unlink()
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    lock = FileLock(folder / f".{name}", 0)
    lock.__enter__()
    seal = lock.path.rename(folder / name)  # whoever finds it finds it locked
    _held[root.uri] = seal, lock
    atexit.register(seal.unlink, missing_ok=True)
    return seal


def _locks_reach(seal: Path) -> bool:
    try:
        with FileLock(seal, 0):
            return False
    except LockHeld:
        return True


def _code() -> str:
    """Hash of the project's files: the sources by what is in them, weights and footage by name and size."""
    digest = hashlib.blake2b(digest_size=6)
    for room in _ROOMS:
        for path in sorted((_CODE / room).rglob("*")):
            if "__pycache__" in path.parts or not path.is_file():
                continue
            digest.update(path.relative_to(_CODE).as_posix().encode())
            is_text = path.suffix in (".py", ".json", ".yaml")
            digest.update(path.read_bytes() if is_text else str(path.stat().st_size).encode())
    return digest.hexdigest()


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return _NONE


def _last_line(error: RayError) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
