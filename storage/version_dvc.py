"""DVC at the root of the data: the one module that touches dvc, whose Python interface is internal.

DVC works without git here (``--no-scm``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from storage.atomic import FileLock
from storage.errors import DubwrightError
from storage.layout import Root

if TYPE_CHECKING:
    from dvc.repo import Repo

_LOCK_S = 300.0


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
                    # A version lies in the cache and in its folder; links make that one copy on the disk.
                    config["cache"]["type"] = ["reflink", "hardlink", "copy"]
                    config["core"]["analytics"] = False
                repo.close()
                repo = Repo(str(place.local))
            try:
                yield repo
            finally:
                repo.close()
        except DvcException as error:
            raise DubwrightError(f"dvc: {error}", "see the message; `dvc doctor` in the root may tell more") from error


def restore(place: Root, folder: Path) -> None:
    """Bring a version's folder back: from DVC's cache or remote, or from a root that is not on this machine.

    Raises:
        DubwrightError: its files are nowhere.
    """
    record = folder.with_name(f"{folder.name}.dvc")
    if not place.is_local and not record.is_file():
        place.pull(folder)
        return
    with dvc_repo(place) as repo:
        try:
            if repo.config["core"].get("remote"):
                repo.fetch(targets=[str(record)])
            repo.checkout(targets=[str(record)], force=True)
        except Exception as error:
            raise DubwrightError(
                f"{folder.parent.name}@{folder.name}: its files are not here and not in DVC's cache ({error})",
                "fetch them from the DVC remote, or run the preprocessing again",
            ) from error
