"""What tests of all rooms share: where real media lie, one Ray and one Prefect API for the whole session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flows  # sets the environment that Prefect and Ray read when they are imported
from storage.layout import Root

PROJECT = Path(flows.__file__).resolve().parent.parent
LIBRARY = PROJECT / "tasks" / "studio" / "library"

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real media and weights that are not part of the project; tests that want them are skipped without."""
    folder = Path(os.environ.get("DUBWRIGHT_SHARED") or PROJECT.parent / "shared")
    if not (folder / "media").is_dir():
        pytest.skip(f"no real media in {folder} (set DUBWRIGHT_SHARED)")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """An empty data root."""
    return Root(tmp_path / "root").create()


@pytest.fixture(scope="session")
def library() -> Path:
    """The shipped studio library."""
    return LIBRARY


@pytest.fixture(scope="session")
def episode(library: Path) -> Path:
    """One short studio video with a speaking face, and sound."""
    return library / "welcome.mp4"


@pytest.fixture(scope="session")
def dub_track(library: Path) -> Path:
    """A track in another language that is shipped with the library."""
    return library / "welcome.dub.wav"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray on this machine, started once."""
    import ray

    from tasks.cluster import start
    from tasks.config import load_config

    start(load_config())
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect API for this session, named by PREFECT_API_URL for this process and its children."""
    from flows.run_server import prefect_api

    with prefect_api(Root(tmp_path_factory.mktemp("prefect")).create()) as ready:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        ready()
        # Tests that import flows have imported Prefect, too, which read its settings then: without this it would start
        # a server of its own beside this one.
        with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
            yield os.environ["PREFECT_API_URL"]


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dubwright(root: Root) -> Command:
    """The command as a user runs it, in a process of its own: ``dubwright("dub", video, "--audio", track)``."""

    def call(*words: str | Path, timeout: float = 800, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", "--root", str(root), *map(str, words)],
            capture_output=True, text=True, timeout=timeout, cwd=PROJECT, env={**os.environ, **environment},
        )  # fmt: skip

    return call
