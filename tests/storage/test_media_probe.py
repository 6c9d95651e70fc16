"""What `probe` tells, and how it says no."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import InputFailed, InputRejected
from tests.storage.footage import clicks, make


def test_tells_tracks_sizes_rates_and_times(tmp_path: Path) -> None:
    path = make(
        tmp_path / "film.mp4",
        frames=30,
        rate=Fraction(30000, 1001),
        base=Fraction(1, 30000),
        start=15015,
        sar=Fraction(4, 3),
        color=(1, 1, 1, 1),
        sounds=[clicks(1.5, [0.2])] * 2,
        subtitles="mov_text",
        chapters=True,
        tags={"title": "Größe"},
    )
    info = media.probe(path)
    video = info.video
    assert video is not None
    assert (video.width, video.height, video.codec, video.frames) == (96, 64, "h264", 30)
    assert video.fps == Fraction(30000, 1001)
    assert not video.variable
    assert video.start_s == pytest.approx(0.5005)
    assert video.duration_s == pytest.approx(1.001)
    assert video.sar == Fraction(4, 3)
    assert (video.color_range, video.color_space, video.color_primaries, video.color_trc) == (1, 1, 1, 1)
    assert [track.language for track in info.audio] == ["eng", "deu"]
    assert info.audio[0].rate == 48000
    assert info.audio[0].start_s == pytest.approx(0)
    assert info.subtitles == ("mov_text",)
    assert info.chapters == 2
    assert info.metadata["title"] == "Größe"


@pytest.mark.parametrize(
    ("turn", "shown", "rotation"),
    [((0, False, False), (96, 64), 0), ((90, False, False), (64, 96), 270), ((180, False, False), (96, 64), 180)],
)
def test_size_is_as_shown(
    tmp_path: Path, turn: tuple[float, bool, bool], shown: tuple[int, int], rotation: int
) -> None:
    video = media.probe(make(tmp_path / "turned.mp4", frames=3, rotation=turn)).video
    assert video is not None
    assert (video.width, video.height) == shown
    assert (video.coded_width, video.coded_height) == (96, 64)
    assert video.rotation == rotation


def test_variable_rate_is_seen(tmp_path: Path) -> None:
    steps = [512, 1024, 512, 2048, 512, 512, 700, 512]
    video = media.probe(make(tmp_path / "vfr.mp4", frames=8, pts=list(np.cumsum(steps)))).video
    assert video is not None
    assert video.variable
    assert video.frames == 8


@pytest.mark.parametrize("name", ["film.mkv", "film.ts", "film.mov", "film.avi"])
def test_frames_are_counted_in_every_container(tmp_path: Path, name: str) -> None:
    base = Fraction(1, 25) if name.endswith("avi") else Fraction(1, 12800)
    path = make(tmp_path / name, frames=20, base=base, options={"bf": "0"}, sounds=[clicks(0.8, [0.1])])
    info = media.probe(path)
    assert info.video is not None
    assert info.video.frames == 20
    assert info.video.fps == 25


def test_a_free_running_clock_is_set_to_zero(tmp_path: Path) -> None:
    path = make(tmp_path / "broadcast.ts", frames=20, base=Fraction(1, 90000), start=90000 * 3600)
    info = media.probe(path)
    assert info.origin > 3599
    assert info.start_s == pytest.approx(0)
    assert info.video is not None
    assert info.video.start_s == pytest.approx(0, abs=0.2)


def test_sound_alone(tmp_path: Path) -> None:
    path = media.write_audio(tmp_path / "speech.wav", clicks(1, [0.5], 16000))
    assert media.probe(path, need_video=False).audio[0].rate == 16000
    with pytest.raises(InputRejected, match="sound only") as caught:
        media.probe(path)
    assert (caught.value.measure, caught.value.value, caught.value.threshold) == ("video_tracks", 0, 1)


def test_a_silent_film_is_fine_unless_sound_is_asked_for(tmp_path: Path) -> None:
    path = make(tmp_path / "silent.mp4", frames=5)
    assert media.probe(path).audio == ()
    with pytest.raises(InputRejected, match="no audio track") as caught:
        media.probe(path, need_audio=True)
    assert caught.value.measure == "audio_tracks"


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(InputRejected, match=r"empty\.mp4.*empty") as caught:
        media.probe(path)
    assert (caught.value.measure, caught.value.value) == ("bytes", 0)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"This is a letter, not a film.\n" * 50, "text"),
        ("Dies ist ein schöner Brief.\n".encode() * 50, "text"),
        (bytes(range(256)) * 40, "not media"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "truncated"),
    ],
)
def test_not_media(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(InputFailed, match=cause) as caught:
        media.probe(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputFailed, match="No such file"):
        media.probe(tmp_path / "nowhere.mp4")
    with pytest.raises(InputFailed, match="folder"):
        media.probe(tmp_path)


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("plain.mp4", 0.5),
        ("plain.mp4", 0.99),
        ("fast.mp4", 0.3),
        ("fast.mp4", 0.9),
        ("fast.mp4", 0.99),
        ("film.mkv", 0.3),
        ("film.mkv", 0.8),
    ],
)
def test_truncated(tmp_path: Path, name: str, keep: float) -> None:
    options = {"g": "12"}
    path = make(tmp_path / name, frames=100, options=options, sounds=[clicks(4, [0.5, 3.5])])
    if name == "fast.mp4":  # the index in front, as on the web: the file opens, only its data are missing
        path = media.rewrite_video(path, tmp_path / "front.mp4", None).path
    media.probe(path)
    whole = path.read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputFailed, match="truncated") as caught:
        media.probe(cut)
    assert caught.value.error_type == "Truncated" or "moov" in str(caught.value)


@pytest.mark.parametrize(("first", "last"), [(0.0, 0.3), (0.5, 1.0)])
def test_holes_in_the_data_are_found(tmp_path: Path, first: float, last: float) -> None:
    """A download that was not finished often has its full length, and zeros where data should be."""
    path = make(tmp_path / "film.mp4", frames=60, options={"g": "12"})
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 8, data.index(b"moov") - 4
    hole = slice(start + int((end - start) * first), start + int((end - start) * last))
    data[hole] = b"\0" * (hole.stop - hole.start)
    path.write_bytes(bytes(data))
    with pytest.raises(InputFailed, match="decode"):
        media.probe(path)


def test_real_clip_that_starts_late(shared_dir: Path) -> None:
    info = media.probe(shared_dir / "media/video/face_recognition__short_hamilton_clip.mp4")
    assert info.video is not None
    assert info.video.start_s == pytest.approx(0.852, abs=0.001)
    assert info.audio[0].start_s == pytest.approx(0.008, abs=0.001)
    assert info.video.frames == 275
    assert info.origin == 0
