"""Media that cannot be: told with a measure or a place, before they cost memory or time."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from storage import media
from storage.errors import InputFailed, InputRejected
from storage.media_limits import Limits, check_packets, check_times
from tests.fuzzing_parts import pieces_of
from tests.storage.footage import clicks, make, picture


def patched(path: Path, kind: bytes, at: int, value: bytes, number: int = 0) -> Path:
    """Write `value` at byte `at` of the content of a box."""
    data = bytearray(path.read_bytes())
    boxes = [piece for piece in pieces_of(bytes(data), path.suffix) if data[piece.start + 4 : piece.body] == kind]
    start = boxes[number].body + at
    data[start : start + len(value)] = value
    path.write_bytes(data)
    return path


def measure(path: Path, **limits: float) -> tuple[str, float | None]:
    with pytest.raises(InputRejected) as caught:
        media.probe(path, limits=Limits(**limits))
    assert caught.value.remedy
    return caught.value.measure, caught.value.value


def test_what_is_asked_for_is_measured(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=50)
    assert measure(path, max_pixels=96 * 64 - 1) == ("pixels", 96 * 64)
    assert measure(path, max_s=1.5)[0] == "duration_s"
    assert measure(path, max_fps=24) == ("fps", 25.0)
    assert measure(path, min_fps=26)[0] == "fps"
    assert media.probe(path, limits=Limits(96 * 64, 26, 24, 2.1)).video is not None


def test_a_claim_of_huge_sides(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mov", frames=3, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 40_000, 40_000)
    path.write_bytes(data)
    with pytest.raises((InputRejected, InputFailed)):
        media.probe(path)
    path = make(tmp_path / "b.avi", frames=3, codec="rawvideo", base=Fraction(1, 25))
    data = path.read_bytes().replace(struct.pack("<II", 96, 64), struct.pack("<II", 40_000, 40_000))
    path.write_bytes(data)
    with pytest.raises((InputRejected, InputFailed)):
        media.probe(path)


def test_a_leap_of_years(tmp_path: Path) -> None:
    steps = [512 * index + (12800 * 86400 * 365 * 2 if index > 5 else 0) for index in range(10)]
    path = make(tmp_path / "film.mkv", frames=10, pts=[step // 12800 * 1000 for step in steps], base=Fraction(1, 1000))
    with pytest.raises((InputRejected, InputFailed), match=r"duration|leap"):
        media.probe(path)
    with pytest.raises(InputFailed, match="leap by 700 s") as caught:
        check_times("a.mkv", np.array([0.0, 0.04, 700.04, 700.08]), Limits())
    assert caught.value.time_s == 0.04


def test_times_that_no_camera_gives() -> None:
    for times, error in (
        ([0.0, 0.0, 0.0], InputFailed), ([-1e9, 0.0], InputFailed), ([0.0, float("nan")], InputFailed),
        ([0.0, 1e-9, 2e-9], InputRejected), ([0.0, 30.0, 60.0], InputRejected), ([0.0, 1e9], InputRejected),
    ):  # fmt: skip
        with pytest.raises(error):
            check_times("a.mp4", np.array(times), Limits())
    for times in ([], [5.0], [0.0, 0.04, 0.08], [-0.5, -0.46]):
        check_times("a.mp4", np.array(times), Limits())


def test_a_billion_frames_a_second(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=10)
    patched(path, b"mdhd", 12, struct.pack(">I", 0x7FFFFFFF))
    assert measure(path)[0] == "fps"


def test_an_index_of_a_billion_frames(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=10)
    patched(path, b"stsz", 4, struct.pack(">II", 1, 1 << 30))
    patched(path, b"stts", 4, struct.pack(">III", 1, 1 << 30, 512))
    with pytest.raises((InputRejected, InputFailed)):
        media.probe(path)
    with pytest.raises(InputRejected, match="packets"):
        check_packets("a.mp4", 10**9)


@pytest.mark.parametrize(("at", "value", "name"), [(24, 1, "sample_rate"), (24, 3_900_000_000, "sample_rate")])
def test_sound_at_a_rate_that_is_none(tmp_path: Path, at: int, value: int, name: str) -> None:
    path = media.write_audio(tmp_path / "a.wav", clicks(1, [0.5], 16000))
    data = bytearray(path.read_bytes())
    data[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(data)
    with pytest.raises((InputRejected, InputFailed)) as caught:
        media.probe(path, need_video=False)
    assert getattr(caught.value, "measure", name) == name
    with pytest.raises((InputRejected, InputFailed)):
        media.read_audio(path)


def test_a_picture_that_changes_its_size(tmp_path: Path) -> None:
    parts = [make(tmp_path / "a.ts", frames=5), make(tmp_path / "b.ts", frames=5, size=(128, 96))]
    (tmp_path / "joined.ts").write_bytes(b"".join(path.read_bytes() for path in parts))
    with pytest.raises(InputFailed, match=r"from 96x64 to 128x96") as caught:
        list(media.iter_frames(tmp_path / "joined.ts", threads=1))
    assert caught.value.error_type in ("SizeChange", "Timestamps") and caught.value.time_s is not None


def test_times_that_run_backwards(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=8, codec="mjpeg", pix_fmt="yuvj420p", base=Fraction(1, 1000))
    data = bytearray(path.read_bytes())
    blocks = [piece for piece in pieces_of(bytes(data), ".mkv") if data[piece.start] == 0xA3]
    for block in blocks[3:6]:  # behind the number of the track: milliseconds since the cluster began
        (stamp,) = struct.unpack_from(">h", data, block.body + 1)
        struct.pack_into(">h", data, block.body + 1, stamp + 3000)
    path.write_bytes(data)
    with pytest.raises(InputFailed, match="run backwards") as caught:
        list(media.iter_frames(path))
    assert caught.value.time_s == pytest.approx(3.2)


def test_a_moment_out_of_order_is_put_right(tmp_path: Path) -> None:
    from storage.media_frames import _in_order

    frame = av.VideoFrame(16, 16)
    stamps = [
        stamp
        for _, stamp in _in_order("a", iter([(frame, s) for s in (0, 10, 10, 9, 30)]), Fraction(1, 100), Fraction(0))
    ]
    assert stamps == [0, 10, 11, 12, 30]


def test_sound_with_a_hole_of_hours(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (0, 16000 * 4000):
            frame = av.AudioFrame.from_ndarray(np.ones((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputFailed, match="leaps by"):
        media.read_audio(path)
    assert len(media.read_audio(path, 16000, 0.0, 1.0)) == 16000


def test_a_cover_picture_alone_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(0), format="rgb24").reformat(format="yuvj420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputFailed, match="but a cover picture"):
        media.probe(path)


def test_thousands_of_tracks(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=3)
    data = bytearray(path.read_bytes())
    boxes = {bytes(data[box.start + 4 : box.body]): box for box in pieces_of(bytes(data), ".mp4")}
    trak, moov = boxes[b"trak"], boxes[b"moov"]
    copies = bytes(data[trak.start : trak.end]) * 2000
    data[trak.end : trak.end] = copies
    data[moov.start : moov.start + 4] = struct.pack(">I", moov.end - moov.start + len(copies))
    path.write_bytes(data)
    with pytest.raises((InputRejected, InputFailed)) as caught:
        media.probe(path)
    assert isinstance(caught.value, InputFailed) and "64 tracks" in caught.value.cause


def test_a_list_that_leads_to_other_files_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "film.ts", frames=3)
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile film.ts\n")
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(InputFailed, match="text"):
            media.probe(tmp_path / name)
