"""Which versions a dataset has, which is the current one, and what they are called.

datasets/NAME/refs.json       the current version, tags, and the history
datasets/NAME/VERSION.json    when, from what and by which code a version was first made
datasets/NAME/VERSION/        its files, of which no byte depends on any of that
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.atomic import FileLock, write_json
from storage.errors import InputFailed, NotFound
from storage.layout import Root
from storage.names import check_name

_LOCK_S = 300.0
_VERSION = re.compile(r"[0-9a-z]+")


@dataclass(frozen=True)
class Version:
    """One version of a dataset. `dataset_id` (NAME@VERSION) is what models and renders refer to.

    restored: files that were found changed or missing when it was looked at, and were brought back.
    """

    dataset: str
    version: str
    path: Path
    rows: int
    counts: dict[str, int]
    message: str = ""
    parent: str = ""
    created: str = ""
    code_revision: str = ""
    tags: tuple[str, ...] = ()
    current: bool = False
    restored: tuple[str, ...] = ()

    @property
    def dataset_id(self) -> str:
        return f"{self.dataset}@{self.version}"


def list_versions(root: Root | str | os.PathLike[str], dataset: str | None = None) -> list[Version]:
    """All versions of a dataset, or of all datasets, oldest first."""
    place = Root(root)
    if dataset:
        check_name(dataset)
    names = [dataset] if dataset else sorted(p.name for p in place.datasets.glob("*") if (p / "refs.json").is_file())
    found = []
    for name in names:
        folder = place.datasets / name
        refs = read_refs(folder)
        if dataset and not refs["history"]:
            raise _no_dataset(place, dataset)
        found += [read_version(folder, version, refs) for version in refs["history"]]
    return found


def show_version(root: Root | str | os.PathLike[str], spec: str) -> Version:
    """The version that `spec` names: ``NAME`` (the current one), ``NAME@VERSION``, ``NAME@TAG``, or the beginning of a
    version (at least four digits). Its files are not looked at: `checkout_version` does that.

    Raises:
        NotFound: there is none, or the beginning fits several.
        UsageError: NAME cannot be a name.
    """
    place = Root(root)
    name, _, wanted = spec.partition("@")
    check_name(name)
    folder = place.datasets / name
    place.renew(folder / "refs.json")
    refs = read_refs(folder)
    if not refs["history"]:
        raise _no_dataset(place, name)
    wanted = refs["tags"].get(wanted, wanted or refs["current"])
    fitting = [v for v in refs["history"] if v == wanted or (len(wanted) >= 4 and v.startswith(wanted))]
    if len(fitting) != 1:
        known = ", ".join([*refs["tags"], *(version[:8] for version in refs["history"][-5:])])
        problem = "is not one version" if fitting else "has no version"
        raise NotFound(f"dataset {name} {problem} {wanted!r}", f"known: {known}")
    if not place.is_local:
        place.pull(facts_file(folder, fitting[0]))
    return read_version(folder, fitting[0], refs)


def describe_version(version: Version) -> dict[str, Any]:
    """A version as JSON values."""
    return {**asdict(version), "path": str(version.path), "dataset_id": version.dataset_id}


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time changes a dataset."""
    with FileLock(folder / ".lock", _LOCK_S):
        yield


def read_refs(folder: Path) -> dict[str, Any]:
    """{"current", "history", "tags"} of a dataset's folder; empty ones where there is no dataset.

    Raises:
        InputFailed: what it calls a version is none: versions become folders, and a root may be somebody else's.
    """
    try:
        refs: dict[str, Any] = json.loads((folder / "refs.json").read_text())
    except FileNotFoundError:
        return {"current": "", "history": [], "tags": {}}
    told = [*refs["history"], *refs["tags"].values(), *([refs["current"]] if refs["current"] else [])]
    wrong = next((version for version in told if not _VERSION.fullmatch(str(version))), None)
    if wrong is not None:
        raise InputFailed(
            str(folder / "refs.json"), f"names {wrong!r} as a version, which it cannot be", "restore it from a backup",
            stage="datasets", error_type="Damaged",
        )  # fmt: skip
    return refs


def write_refs(folder: Path, refs: dict[str, Any]) -> None:
    """The inverse of `read_refs`."""
    write_json(folder / "refs.json", refs)


def facts_file(folder: Path, version: str) -> Path:
    """Where the facts of a version are kept: beside its files, or, in versions made earlier, among them."""
    inside = folder / version / "version.json"
    return inside if inside.is_file() else folder / f"{version}.json"


def read_version(folder: Path, version: str, refs: dict[str, Any]) -> Version:
    """A version of the dataset in `folder`, as far as its facts are known."""
    facts: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        facts = json.loads(facts_file(folder, version).read_text())
    return Version(
        dataset=folder.name,
        version=version,
        path=folder / version,
        rows=facts.get("rows", 0),
        counts=facts.get("counts", {}),
        message=facts.get("message", ""),
        parent=facts.get("parent", ""),
        created=facts.get("created", ""),
        code_revision=facts.get("code_revision", ""),
        tags=tuple(sorted(tag for tag, tagged in refs["tags"].items() if tagged == version)),
        current=refs["current"] == version,
    )


def dataset_exists(root: Root | str | os.PathLike[str], name: str) -> bool:
    """Whether a dataset of this name has a version here."""
    return (Root(root).datasets / name / "refs.json").is_file()


def _no_dataset(place: Root, name: str) -> NotFound:
    known = sorted(path.parent.name for path in place.datasets.glob("*/refs.json"))
    return NotFound(f"there is no dataset {name!r} in {place}", f"known: {', '.join(known) or 'none yet'}")
