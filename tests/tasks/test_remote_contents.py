"""A film is known by what it holds, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from storage import contents
from storage.layout import Root
from tasks.config import Config
from tasks.preprocess import listed
from tasks.probe import Source, source_key
from tasks.steps.keys import Inputs


@pytest.fixture
def config(root: Root) -> Config:
    return Config(root=str(root.local))


def put(file: Path, uri: str) -> str:
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.put_file(str(file), path)
    return uri


def test_a_film_in_a_store_is_the_film_on_the_disk(episode: Path, config: Config) -> None:
    here, there = (f"memory://{uuid4().hex}/films/a.mp4" for _ in range(2))
    sources = [Source(str(episode)), Source(put(episode, here)), Source(put(episode, there))]
    items, repeated = listed(sources, config)
    assert len(items) == 1 and len(repeated) == 2
    assert {item.key for item in repeated} == {items[0].key}
    assert len({Inputs.of(source, config) for source in sources}) == 1


def test_it_is_fetched_once_to_be_known(episode: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = put(episode, f"memory://{uuid4().hex}/a.mp4")
    source_id = source_key(uri, config)
    monkeypatch.delattr(contents, "local_copy")  # who would fetch it again, fails
    assert source_key(uri, config) == source_id == source_key(episode)
    assert Inputs.of(Source(uri), config) == Inputs.of(Source(str(episode)), config)


def test_new_bytes_at_an_address_are_another_film(episode: Path, library: Path, config: Config) -> None:
    uri = f"memory://{uuid4().hex}/a.mp4"
    first = source_key(put(episode, uri), config)
    assert source_key(put(library / "news.mp4", uri), config) not in (first, source_key(episode))


def test_a_plan_fetches_nothing(episode: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = put(episode, f"memory://{uuid4().hex}/a.mp4")
    monkeypatch.delattr(contents, "local_copy")
    inputs = Inputs.of(Source(uri), config, fetch=False)
    assert inputs.picture == inputs.sound == source_key(uri, config, fetch=False)


def test_one_too_large_to_be_fetched_has_an_id_all_the_same(config: Config, tmp_path: Path) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(2 << 20))
    uri = put(tmp_path / "large.mp4", f"memory://{uuid4().hex}/large.mp4")
    small = config.with_({"runtime.fetched_mb": 1})
    assert source_key(uri, small) == source_key(uri, config, fetch=False) != source_key(f"{uri}.gone", small)
    assert source_key(uri, config) == source_key(tmp_path / "large.mp4")
