"""What a run is given: every name ends as a source, wherever it lies and whatever it is."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import uuid4

import cv2
import fsspec
import numpy as np
import pytest

from storage import media
from storage.errors import InputFailed, UsageError
from storage.layout import Root
from tasks.config import Config, load_config
from tasks.probe import Source, at_hand, find_sources, probe_source
from tests.tasks.conftest import grey_noise


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound = np.sin(np.arange(8000) / 20).astype(np.float32)
    return media.write_video(tmp_path_factory.mktemp("film") / "film.mp4", grey_noise(10, (48, 64)), 25, sound)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(root=tmp_path / "root")


def test_what_is_no_file_is_told_and_never_opened(tmp_path: Path, film: Path, config: Config) -> None:
    place = tmp_path / "in"
    (place / "folder.mp4").mkdir(parents=True)
    os.mkfifo(place / "pipe.mp4")
    (place / "link.mp4").symlink_to(place / "nowhere")
    (place / "zero.mp4").symlink_to("/dev/zero")
    (place / "whole.mp4").symlink_to(film)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "socket.mp4"))
        sources = find_sources([place])
        rows = {Path(source.uri).name: probe_source(source, "set", config)[0] for source in sources}
    assert set(rows) == {"pipe.mp4", "link.mp4", "zero.mp4", "whole.mp4", "socket.mp4"}
    for name, word in (("pipe", "a pipe"), ("link", "No such file"), ("zero", "a device"), ("socket", "a socket")):
        assert rows[f"{name}.mp4"]["status"] == "failed" and word in rows[f"{name}.mp4"]["reason"]
    assert rows["whole.mp4"]["status"] == "ok"
    assert len({row["source_id"] for row in rows.values()}) == 5
    for read in (lambda: media.read_audio(place / "pipe.mp4"), lambda: list(media.iter_frames(place / "pipe.mp4"))):
        with pytest.raises(InputFailed, match="a pipe"):
            read()


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "100%d.mp4", "новости 'x' \"y\".MP4", "a\nb.mp4", "-i.mp4", "#1?.mp4", "😀.mp4"]
)
def test_names_with_odd_characters(tmp_path: Path, film: Path, name: str, config: Config) -> None:
    (tmp_path / name).write_bytes(film.read_bytes())
    (source,) = find_sources([tmp_path])
    row, info = probe_source(source, "set", config)
    assert (row["status"], info and info.video and info.video.frames) == ("ok", 10), row["reason"]
    assert len(list(media.iter_frames(source.uri))) == 10


def test_a_name_that_is_no_text_is_left_out_with_its_reason(tmp_path: Path, film: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.mp4", "wb") as stream:
        stream.write(film.read_bytes())
    (source,) = find_sources([tmp_path])
    assert source.refused is not None and "UTF-8" in source.refused
    source.uri.encode()


def test_pictures_and_sounds_that_a_manifest_names_are_companions(tmp_path: Path, film: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    for name in ("speaker.png", "alone.JPG"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    for name in ("voice.wav", "alone.WAV"):
        media.write_audio(tmp_path / name, np.zeros(1600, np.float32))
    (tmp_path / "manifest.csv").write_text("video,audio,portrait\nfilm.mp4,voice.wav,speaker.png\n")
    found = find_sources([tmp_path])
    assert [Path(source.uri).name for source in found] == ["alone.JPG", "alone.WAV", "film.mp4"]
    assert found[2].sound == str(tmp_path / "voice.wav")


def test_a_table_of_dub_jobs_is_no_footage_and_says_so(tmp_path: Path, film: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    jobs = tmp_path / "manifest.csv"
    jobs.write_text("video,audio,output\nfilm.mp4,voice.wav,out.mp4\n")
    place = f"memory://bucket-{uuid4().hex}/library.csv"
    fsspec.filesystem("memory").pipe_file(place.removeprefix("memory:/"), jobs.read_bytes())
    for named in (jobs, place):
        with pytest.raises(UsageError, match="table of dub jobs") as told:
            find_sources([named])
        assert str(named) in str(told.value) and "dub --manifest" in told.value.remedy
    assert [Path(source.uri).name for source in find_sources([tmp_path])] == ["film.mp4"], "its folder is footage"


def test_files_of_an_object_store(tmp_path: Path, film: Path, config: Config) -> None:
    place = f"memory://bucket-{uuid4().hex}/films"
    store = fsspec.filesystem("memory")
    manifest = b"video,audio,speaker\nfilm.mp4,b/voice.wav,anna\n/elsewhere/x.mp4,,\n"
    voice = media.write_audio(tmp_path / "voice.wav", np.zeros(1600, np.float32)).read_bytes()
    files = {"film.mp4": film.read_bytes(), "b/voice.wav": voice, "b/text.mp4": b"no film", "manifest.csv": manifest}
    for name, data in files.items():
        store.pipe_file(f"{place}/{name}".removeprefix("memory:/"), data)
    sources = find_sources([place], root=Root(config.root))
    told = [source.uri.removeprefix(place + "/") for source in sources]
    assert told == ["b/text.mp4", "film.mp4", "/elsewhere/x.mp4"]
    assert (sources[1].speaker, sources[1].audio) == ("anna", f"{place}/b/voice.wav")
    assert find_sources([f"{place}/film.mp4"]) == [Source(f"{place}/film.mp4")]
    row, _ = probe_source(sources[1], "set", config)
    assert (row["status"], row["uri"], row["audio_rate"]) == ("ok", sources[1].uri, 16000), row["reason"]
    row, _ = probe_source(sources[0], "set", config)
    assert row["status"] == "failed" and sources[0].uri in row["reason"] and "cache" not in row["reason"]
    row, _ = probe_source(Source(f"{place}/gone.mp4"), "set", config)
    assert (row["status"], row["stage"]) == ("failed", "fetch")
    with at_hand(sources[1], config) as here:
        assert len(list(media.iter_frames(here.uri))) == 10
        assert len(media.read_audio(here.sound)) == 1600
    with pytest.raises(UsageError, match="no such file"):
        find_sources([f"{place}/nowhere"])
