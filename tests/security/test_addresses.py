"""What a manifest or an option may make this machine ask, and where a store's names may lead."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest

from storage.addresses import check_address
from storage.errors import ConfigError, DubwrightError, InputFailed, UsageError
from storage.fetching import exists, local_copy
from storage.layout import Root
from tasks.jobs import read_manifest
from tasks.listing import find_sources
from tests.security.conftest import Receiver


@pytest.mark.parametrize(
    "scheme", ["http", "https", "ftp", "sftp", "github", "zip::http", "simplecache::http", "webhdfs"]
)
def test_a_manifest_cannot_make_this_machine_ask_a_host(
    scheme: str, receiver: Receiver, root: Root, tmp_path: Path
) -> None:
    address = f"{scheme}://127.0.0.1:{receiver.port}/latest/meta-data/film.mp4"
    manifest = tmp_path / "films.csv"
    manifest.write_text(f"video\n{address}\n")
    (source,) = find_sources([manifest], root=root)
    with pytest.raises(ConfigError, match="not followed"), local_copy(source.uri, root):
        pass
    with pytest.raises(ConfigError, match="not followed"):
        exists(address)
    assert receiver.knocks == 0


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIAEXAMPLE:s3cr3tk3y@bucket/film.mp4",
        "s3://onlyakeyname@bucket/film.mp4",
        "s3://bucket/film.mp4?X-Amz-Signature=s3cr3tk3y",
        "gs://bucket/film.mp4?access_token=s3cr3tk3y",
        "abfs://container:s3cr3tk3y@account.dfs.core.windows.net/film.mp4",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(address: str, root: Root) -> None:
    for use in (check_address, Root, exists):
        with pytest.raises(UsageError, match="password") as caught:
            use(address)
        assert "s3cr3t" not in str(caught.value) and "onlyakey" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["s3://bucket/a b/film.mp4", "gs://bucket/x", "abfss://container@account.dfs.core.windows.net/x", "memory://x"],
)
def test_object_stores_are_asked(address: str) -> None:
    check_address(address)


def test_a_store_cannot_write_beside_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / "mirrors"))
    bucket = f"memory://{uuid.uuid4().hex}"
    root = Root(f"{bucket}/data").create()
    store, base = fsspec.core.url_to_fs(root.uri)
    good, bad = f"{base}/models/abc/config.json", f"{base}/models/abc/../../../../escaped.txt"
    for key in (good, bad):
        store.store[key] = type(store.open(good, "wb"))(store, key, b"x")
    with pytest.raises(InputFailed, match="leads out"):
        root.pull(root.models / "abc")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_link_in_the_mirror_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / "mirrors"))
    root = Root(f"memory://{uuid.uuid4().hex}/data").create()
    outside = tmp_path / "outside"
    outside.mkdir()
    (root.models / "abc").symlink_to(outside)
    with fsspec.open(f"{root.uri}/models/abc/config.json", "wb") as file:
        file.write(b"{}")
    with pytest.raises(InputFailed, match="leads out"):
        root.pull(root.models / "abc")
    assert not list(outside.iterdir())


def test_a_file_of_the_machine_is_no_store(root: Root, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    with local_copy(f"file://{tmp_path}/a.mp4", root) as path:
        assert path == tmp_path / "a.mp4"
    with pytest.raises(DubwrightError):
        exists(f"local://{tmp_path}/a.mp4")


def test_a_manifest_keeps_no_secret_of_its_rows(root: Root, tmp_path: Path) -> None:
    manifest = tmp_path / "films.csv"
    manifest.write_text("video,audio\ns3://me:s3cr3tk3y@bucket/a.mp4,s3://bucket/a.wav?X-Amz-Signature=s3cr3tk3y\n")
    (source,) = find_sources([manifest], root=root)
    (job,) = read_manifest(manifest)
    assert "s3cr3t" not in f"{source} {job}"
    for address in (source.uri, source.audio, job.video, job.audio):
        assert address is not None
        with pytest.raises(UsageError, match="carries a password"):
            check_address(address)
