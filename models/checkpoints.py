"""Public checkpoints: which there are (checkpoints.yaml), whether they are here, and whether they are the right ones.

Nothing is ever downloaded. What is missing is an error that says what to fetch, from where, under which licence, and
where to put it. Files are read as data: weights as safetensors, as tensors (`weights_only`) or as an ONNX graph.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

CATALOGUE = Path(__file__).with_name("checkpoints.yaml")
HASHES = Path("cache") / "checkpoint-hashes.json"
"""Below the root: sha256 by path, size and time of change, so that gigabytes are read once."""

_ZIP = b"PK\x03\x04"  # how newer torch files begin

Commercial = Literal["yes", "no", "unclear"]


class _Told(Exception):
    """A message, and a `remedy` that says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.args[0]}. {self.remedy}"


class MissingCheckpoint(_Told, FileNotFoundError):
    """A checkpoint is not on this machine; `remedy` names what to fetch, from where, its licence, where to put it."""


class WrongCheckpoint(_Told, ValueError):
    """A file is there, but it is not the published one: cut off, altered, or of another revision."""


class UnusableCheckpoint(_Told, ValueError):
    """A file cannot serve: not of its format, cut off, of other shapes, or it holds code instead of data."""


@dataclass(frozen=True)
class CheckpointFile:
    """A file of a checkpoint: name within its folder, address, size in bytes, sha256; None where not published."""

    name: str
    url: str | None
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Checkpoint:
    """An entry of checkpoints.yaml.

    place: folder relative to the data root; also: other folders, with ``~`` and ``$NAME``. loads: what a loader takes,
    relative to the folder. archive: a zip that holds all files, instead of their own addresses. optional: profiles that
    can use it but do without. memory: of a GPU, as published; empty where nothing is.
    """

    key: str
    purpose: str
    profiles: tuple[str, ...]
    origin: str
    revision: str
    place: str
    also: tuple[str, ...]
    loads: str
    files: tuple[CheckpointFile, ...]
    archive: CheckpointFile | None
    licence: str
    licence_url: str
    commercial: Commercial
    optional: tuple[str, ...] = ()
    memory: str = ""

    def folders(self, root: Path) -> list[Path]:
        """Where it is looked for, in order."""
        named = [os.path.expandvars(os.path.expanduser(place)) for place in self.also]
        return [root / self.place, *(Path(place) for place in named if "$" not in place)]

    def commands(self, root: Path) -> list[str]:
        """What to type, on a machine with network, to get it to its place."""
        folder = root / self.place
        if self.archive is not None:
            zipped = folder.with_suffix(".zip")
            fetch = f"curl -L --create-dirs -o '{zipped}' '{self.archive.url}'"
            return [fetch, f"unzip -d '{folder}' '{zipped}'"]
        return [f"curl -L --create-dirs -o '{folder / file.name}' '{file.url}'" for file in self.files]

    def remedy(self, root: Path) -> str:
        """What to fetch, from where, under which licence, where to put it."""
        names = ", ".join(file.name for file in self.files)
        told = {"yes": "commercial use allowed", "no": "no commercial use", "unclear": "commercial use unclear"}
        return (
            f"Fetch {names} from {self.origin} (revision {self.revision}) into {root / self.place}; "
            f"licence: {self.licence} ({told[self.commercial]}; {self.licence_url}). " + "; ".join(self.commands(root))
        )


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Checkpoint]:
    """All entries of checkpoints.yaml by key, in its order."""
    return {key: _entry(key, said) for key, said in yaml.safe_load(CATALOGUE.read_text(encoding="utf-8")).items()}


def _entry(key: str, said: dict[str, Any]) -> Checkpoint:
    base, archive = said.pop("base_url", None), said.pop("archive", None)
    files = tuple(
        CheckpointFile(one["name"], one.get("url") or (base and f"{base}/{one['name']}"), one["size"], one["sha256"])
        for one in said.pop("files")
    )
    zipped = archive and CheckpointFile(archive["url"].rpartition("/")[2], **archive)
    profiles, also, optional = (tuple(said.pop(name, ())) for name in ("profiles", "also", "optional"))
    return Checkpoint(key=key, files=files, archive=zipped, profiles=profiles, also=also, optional=optional, **said)


def for_profile(profile: str) -> list[Checkpoint]:
    """The checkpoints that a profile needs."""
    return [entry for entry in catalogue().values() if profile in entry.profiles]


def optional_for(profile: str) -> list[Checkpoint]:
    """Those that a profile can use but does without."""
    return [entry for entry in catalogue().values() if profile in entry.optional]


def find_checkpoint(key: str | Checkpoint, root: str | os.PathLike[str]) -> Path:
    """What a checkpoint's loader takes, a file or a folder, once it is known to be there and to be the published one.

    Args:
        key: of checkpoints.yaml, or an entry.
        root: the data root, a local folder.
    Raises:
        KeyError: no such entry.
        MissingCheckpoint: a file is missing in all places.
        WrongCheckpoint: a file has another size or sha256 than the published one.
    """
    entry = key if isinstance(key, Checkpoint) else catalogue()[key]
    root = Path(root)
    folder = next((place for place in entry.folders(root) if _whole(entry, place)), None)
    if folder is None:
        where = next((place for place in entry.folders(root) if _begun(entry, place)), root / entry.place)
        lacking = [file.name for file in entry.files if not (where / file.name).is_file()]
        raise MissingCheckpoint(f"checkpoint {entry.key}: no {', '.join(lacking)} in {where}", entry.remedy(root))
    for file in entry.files:
        _check(entry, file, folder / file.name, root)
    return folder if entry.loads == "." else folder / entry.loads


def check_published(name: str, folder: Path, root: Path | None) -> None:
    """Whether files in a folder called `name` are the published ones of that entry; other names have no entry.

    Raises:
        WrongCheckpoint: one is not.
    """
    entry = catalogue().get(name)
    if entry is None:
        return
    for file in entry.files:
        if (folder / file.name).is_file():
            _check(entry, file, folder / file.name, root or Path.home() / ".cache" / "dubwright")


def checkpoint_source(source: str, root: str | os.PathLike[str]) -> str:
    """A source of the configuration as loaders take it: a key of checkpoints.yaml becomes the path of what it names.

    Anything else ("studio", "none", a path) stays. Raises what `find_checkpoint` raises.
    """
    return str(find_checkpoint(source, root)) if source in catalogue() else source


def _whole(entry: Checkpoint, folder: Path) -> bool:
    return all((folder / file.name).is_file() for file in entry.files)


def _begun(entry: Checkpoint, folder: Path) -> bool:
    return any((folder / file.name).is_file() for file in entry.files)


def _check(entry: Checkpoint, file: CheckpointFile, path: Path, root: Path) -> None:
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        found, wanted = f"{size} bytes", f"{file.size}"
    elif file.sha256 is not None and (digest := file_hash(path, root / HASHES)) != file.sha256:
        found, wanted = f"sha256 {digest}", file.sha256
    else:
        return
    raise WrongCheckpoint(
        f"checkpoint {entry.key}: {path} has {found}, the published file {wanted}",
        f"It may be cut off or of another revision: delete it and fetch it anew. {entry.remedy(root)}",
    )


def file_hash(path: Path, notes: Path) -> str:
    """sha256 of a file, hex; noted in the JSON file `notes` until the file's size or time of change differ."""
    stat = path.stat()
    name, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
    known: dict[str, list[Any]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(notes.read_text())
    if name in known and known[name][:2] == state:
        return str(known[name][2])
    digest = sha256_of(path)
    with suppress(OSError):  # a root that cannot be written to only costs the time of hashing again
        notes.parent.mkdir(parents=True, exist_ok=True)
        aside = notes.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps({**known, name: [*state, digest]}, indent=1))
        aside.replace(notes)
    return digest


def sha256_of(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def read_tensors(path: Path, made_of: str) -> dict[str, Tensor]:
    """A torch or safetensors file as a state dict on the CPU; nothing in it is executed.

    Raises:
        MissingCheckpoint: no such file.
        UnusableCheckpoint: not such a file, cut off, or with anything but named tensors in it.
    """
    loaded = read_weights(path, made_of)
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UnusableCheckpoint(f"{path} is no state dict of {made_of}", "Fetch the published file anew.")
    return dict(loaded)


def read_weights(path: Path, made_of: str) -> Any:
    """What a torch or safetensors file holds: tensors on the CPU, in dicts and lists, and numbers beside them.

    Tensors of newer torch files and of safetensors are mapped, not copied: a file of gigabytes costs memory only for
    what is taken from it. Nothing in the file is executed.

    Raises:
        MissingCheckpoint: no such file.
        UnusableCheckpoint: not such a file, cut off, or with executable content.
    """
    if not path.is_file():
        raise MissingCheckpoint(f"no {made_of} at {path}", "check the path, or see models/checkpoints.yaml")
    try:
        if path.suffix == ".safetensors":
            return load_file(path, device="cpu")
        mapped = zipfile.is_zipfile(path)
        with path.open("rb") as file:
            if not mapped and file.read(len(_ZIP)) == _ZIP:
                raise EOFError("its end is missing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickles that it goes on to refuse
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (
        pickle.UnpicklingError, SafetensorError, struct.error, zipfile.BadZipFile, ArithmeticError, AttributeError,
        EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise UnusableCheckpoint(
            f"{path} cannot be read as weights of {made_of}: {_why(error)}",
            "It is cut off, or holds code instead of weights: fetch the published file anew.",
        ) from error


def _why(error: Exception) -> str:
    text = str(error).strip()
    if named := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it carries executable content ({named[1]})"
    if named := re.search(r"WeightsUnpickler error:\s*(.+)", text):
        return f"it is a pickle of something else than tensors, or no torch file ({named[1]})"
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
