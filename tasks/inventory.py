"""What this machine has for a run: packages, accelerators, packs and checkpoints with their licences. Nothing is loaded
that takes long, nothing is downloaded."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.checkpoints import (
    Checkpoint,
    MissingCheckpoint,
    WrongCheckpoint,
    catalogue,
    find_checkpoint,
    for_profile,
    optional_for,
)
from models.faces import NON_COMMERCIAL, PACKS, MissingPack, find_pack, licence
from storage.errors import DubwrightError
from storage.layout import Root
from tasks.config import Config

PACKAGES = (
    "prefect", "ray", "torch", "diffusers", "transformers", "insightface", "onnxruntime", "openai-whisper",
    "opencv-python", "av", "pyarrow", "lancedb", "dvc", "scenedetect", "silero-vad",
)  # fmt: skip
MUST_IMPORT = ("cv2", "av", "onnxruntime", "pyarrow", "lancedb")
EXTRAS = {"espeakng-loader": "speech for rendering a new studio corpus (GPL-3.0): pip install 'dubwright[studio]'"}
LEAST_FREE_GB = 2.0

Finding = dict[str, Any]
"""what, status (ok, optional, missing, wrong or warning), detail, remedy."""


def inventory(config: Config) -> list[Finding]:
    """All findings, in the order in which they are best read."""
    return [
        *_machine(Root(config.root)), *_packages(), *_accelerators(), *_ray(config), *_faces(config), *_packs(config),
        *_checkpoints(config),
    ]  # fmt: skip


def _finding(what: str, status: str, detail: str, remedy: str = "") -> Finding:
    return {"what": what, "status": status, "detail": detail, "remedy": remedy}


def _machine(root: Root) -> Iterator[Finding]:
    yield _finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield _finding("processors", "ok", f"{os.cpu_count()} ({platform.machine()})")
    place = next(folder for folder in (root.local, *root.local.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    writable = os.access(place, os.W_OK)
    if not writable:
        yield _finding("root", "missing", f"{root}: not writable", "choose another --root")
    elif free < LEAST_FREE_GB:
        yield _finding("root", "warning", f"{root}: {free:.1f} GB free", "free some space or choose another --root")
    else:
        yield _finding("root", "ok", f"{root}: {free:.1f} GB free")


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield _finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            headless = name == "opencv-python" and _version("opencv-python-headless")
            if headless:
                yield _finding(name, "ok", f"{headless} (headless)")
            else:
                yield _finding(name, "missing", "not installed", "make demo installs what is needed into .venv")
    for name in MUST_IMPORT:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield _finding(
                name, "missing", f"cannot be loaded: {error}", "on Debian: apt-get install libgl1 libglib2.0-0"
            )
    for name, purpose in EXTRAS.items():
        version = _version(name)
        yield _finding(
            name, "ok" if version else "warning", version or "not installed (optional)", "" if version else purpose
        )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _accelerators() -> Iterator[Finding]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        yield _finding("gpu", "ok", "none: everything runs on the processors")
    for index in range(count):
        facts = torch.cuda.get_device_properties(index)
        yield _finding("gpu", "ok", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB")


def _ray(config: Config) -> Iterator[Finding]:
    """The cluster, where one is named, and whether each of its nodes can take part."""
    from tasks import cluster
    from tasks.cluster_nodes import asked_nodes, expected, name_of

    named = cluster.address(config)
    if named is None:
        yield _finding("ray cluster", "ok", "none named by --ray or RAY_ADDRESS: runs start their own on this machine")
        return
    try:
        cluster.join(config)
    except DubwrightError as error:
        yield _finding("ray cluster", "wrong", error.message, error.remedy)
        return
    yield _finding("ray cluster", "ok", named)
    for node, wrong in asked_nodes(expected(Root(config.root).create())):
        has = ", ".join(f"{node['Resources'].get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        detail = "; ".join([has, *(what for what, _ in wrong)])
        yield _finding(name_of(node), "wrong" if wrong else "ok", detail, wrong[0][1] if wrong else "")


def _faces(config: Config) -> Iterator[Finding]:
    root = Root(config.root).local
    pack = config.faces.pack
    try:
        place, terms = find_pack(pack, root), licence(pack, root)
    except MissingPack as error:
        yield _finding(f"face pack {pack}", "missing", str(error.args[0]), error.remedy)
        return
    files = [place] if place.is_file() else sorted(place.glob("*.onnx"))
    detail = f"{len(files)} file(s), {_megabytes(files)}; licence: {terms}"
    if not files:
        remedy = "dubwright train --stage detector, landmarks and recogniser"
        yield _finding(f"face pack {pack}", "missing", f"{place} is empty", remedy)
    elif terms == NON_COMMERCIAL:
        yield _finding(
            f"face pack {pack}", "warning", detail, "not for commercial use: bring a licensed pack by --face-pack"
        )
    else:
        yield _finding(f"face pack {pack}", "ok", detail)


def _packs(config: Config) -> Iterator[Finding]:
    """The parts that the configuration takes from a shipped pack, or from a folder."""
    for part in ("speech", "sync", "text", "emotion"):
        source = getattr(config.audio, part)
        if source == "none":
            yield _finding(f"{part} pack", "ok", "none: what it measures is left out")
            continue
        if source in catalogue():  # of its own among the checkpoints, where the profile is not theirs
            if config.profile not in catalogue()[source].profiles:
                yield _checkpoint(catalogue()[source], Root(config.root).local)
            continue
        place = Path(source) if Path(source).is_dir() else PACKS / source / part
        files = [file for file in sorted(place.rglob("*")) if file.is_file()]
        if files:
            yield _finding(f"{part} pack {source}", "ok", _megabytes(files))
        elif part == "speech" and not (PACKS / source).is_dir():
            yield from _whisper(source)
        elif part == "emotion":
            yield _finding(f"{part} pack {source}", "warning", f"nothing in {place} (optional)",
                           "emotions are not measured; dubwright train --stage emotion makes it")  # fmt: skip
        else:
            yield _finding(f"{part} pack {source}", "missing", f"nothing in {place}", f"dubwright train --stage {part}")
    champion = [file for file in sorted((PACKS / "studio" / "champion").rglob("*")) if file.is_file()]
    if champion:
        yield _finding("shipped model", "ok", f"studio, {_megabytes(champion)}; licence: Apache-2.0")


def _whisper(name: str) -> Iterator[Finding]:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"
    place = Path(name) if name.endswith(".pt") else cache / f"{name}.pt"
    if place.is_file():
        yield _finding(f"whisper {name}", "ok", f"{place}, {_megabytes([place])}; licence: MIT")
    else:
        yield _finding(
            f"whisper {name}", "missing", f"no {place}", "put the checkpoint there; nothing is downloaded in a run"
        )


def _checkpoints(config: Config) -> Iterator[Finding]:
    source = config.model.pretrained
    if source and source not in catalogue():
        found = Path(source).exists()
        yield _finding(f"model {source}", "ok" if found else "missing", "found" if found else "not on this machine",
                       "" if found else "name a folder in model.pretrained")  # fmt: skip
    for entry in for_profile(config.profile):
        yield _checkpoint(entry, Root(config.root).local)
    for entry in optional_for(config.profile):
        yield _checkpoint(entry, Root(config.root).local, needed=entry.key == source)


def _checkpoint(entry: Checkpoint, root: Path, needed: bool = True) -> Finding:
    """Whether a public checkpoint is there and is the published one; large files are hashed once, then noted.

    One that is not needed may be missing.
    """
    what = f"checkpoint {entry.key}"
    try:
        place = find_checkpoint(entry, root)
    except MissingCheckpoint as error:
        lacking = str(error.args[0]).partition(": ")[2]
        if not needed:
            return _finding(what, "optional", f"{lacking}; it would be {entry.purpose}")
        return _finding(what, "missing", lacking, error.remedy)
    except WrongCheckpoint as error:
        return _finding(what, "wrong", str(error.args[0]).partition(": ")[2], error.remedy)
    unpinned = [file.name for file in entry.files if file.sha256 is None]
    pinned = "sha256 as published" + (f" (none published for {', '.join(unpinned)})" if unpinned else "")
    detail = f"{place}, {pinned}; licence: {entry.licence}"
    if entry.commercial == "no":
        return _finding(what, "warning", detail, "not for commercial use: bring weights of your own")
    return _finding(what, "ok", detail)


def checkpoint_table(config: Config) -> list[dict[str, Any]]:
    """The public checkpoints of a profile, needed or optional: which file, from whom, size, licence, sha256, where to
    put it, what it gives, GPU memory as published."""
    root, rows = Root(config.root).local, []
    for entry in (*for_profile(config.profile), *optional_for(config.profile)):
        sizes = [file.size for file in entry.files]
        rows.append({
            "checkpoint": entry.key,
            "files": [file.name for file in entry.files],
            "from": entry.origin,
            "revision": entry.revision,
            "bytes": sum(size for size in sizes if size) if any(sizes) else None,
            "sha256": {file.name: file.sha256 for file in entry.files},
            "licence": entry.licence,
            "commercial": entry.commercial,
            "put into": str(root / entry.place),
            "gives": entry.purpose,
            "GPU memory, published": entry.memory or None,
            "needed": config.profile in entry.profiles,
            "fetch": entry.commands(root),
        })  # fmt: skip
    return rows


def _megabytes(files: list[Path]) -> str:
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
