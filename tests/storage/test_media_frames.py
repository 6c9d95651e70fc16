"""Frames come with their own time, whatever the container, the codec and the place that is asked for."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import media
from storage.errors import InputFailed, InputRejected
from tests.storage.footage import clicks, index_in, make, picture, scratch

# Groups of pictures that are open, closed, long and short; with and without reordering; four containers.
KINDS = {
    "closed.mp4": {"options": {"g": "10", "bf": "2"}},
    "open.mp4": {"options": {"g": "10", "bf": "3", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}},
    "one.mp4": {"options": {"g": "300", "bf": "3"}},
    "late.mp4": {"start": 10907, "options": {"g": "8"}},
    "film.mkv": {"options": {"g": "12", "bf": "2"}},
    "cast.ts": {"base": Fraction(1, 90000), "options": {"g": "12", "bf": "2"}, "start": 90000 * 50},
    "deep.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=10:bframes=3:open-gop=1:log-level=none"}},
}
FRAMES = 60


@cache
def film(kind: str) -> tuple[Path, tuple[float, ...]]:
    path = make(scratch() / kind, frames=FRAMES, **KINDS[kind])
    return path, tuple(pts for _, pts, _ in media.iter_frames(path))


@cache
def variable() -> tuple[Path, tuple[float, ...]]:
    steps = np.random.default_rng(5).integers(100, 3000, FRAMES)
    path = make(scratch() / "vfr.mp4", frames=FRAMES, pts=list(np.cumsum(steps)), options={"g": "9"})
    return path, tuple(np.cumsum(steps) / 12800)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_once_in_order_with_its_time(kind: str) -> None:
    path, times = film(kind)
    found = [(index, index_in(rgb)) for index, _, rgb in media.iter_frames(path)]
    assert found == [(i, i) for i in range(FRAMES)]
    assert np.diff(times) == pytest.approx(1 / 25, abs=1e-3)
    assert media.frame_times(path) == pytest.approx(times)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    start=st.floats(-0.5, 3.0),
    length=st.floats(0.0, 1.0),
)
def test_a_range_is_exactly_the_frames_in_it(kind: str, start: float, length: float) -> None:
    path, times = film(kind)
    expected = [i for i, time in enumerate(times) if start <= time < start + length]
    near_edge = any(abs(time - edge) < 1e-3 for time in times for edge in (start, start + length))
    found = [(index, index_in(rgb)) for index, _, rgb in media.iter_frames(path, start, start + length)]
    assert all(index == seen for index, seen in found)
    if not near_edge:
        assert [index for index, _ in found] == expected


@settings(deadline=None, max_examples=40)
@given(kind=st.sampled_from(sorted(KINDS)), index=st.integers(0, FRAMES - 1), more=st.integers(1, 4))
def test_a_frame_is_found_by_its_own_time(kind: str, index: int, more: int) -> None:
    path, times = film(kind)
    stop = times[index + more] if index + more < FRAMES else None
    found = list(media.iter_frames(path, times[index], stop))
    assert [i for i, _, _ in found] == list(range(index, min(index + more, FRAMES)))
    assert [index_in(rgb) for _, _, rgb in found] == [i for i, _, _ in found]
    assert found[0][1] == times[index]


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, FRAMES - 1))
def test_variable_rate(index: int) -> None:
    path, times = variable()
    found = [(i, pts, index_in(rgb)) for i, pts, rgb in media.iter_frames(path, times[index], times[index] + 0.3)]
    assert [i for i, _, _ in found] == [i for i, t in enumerate(times) if times[index] <= t < times[index] + 0.3 - 1e-9]
    assert all(i == seen and pts == pytest.approx(times[i]) for i, pts, seen in found)


@pytest.mark.parametrize("turn", [(a, h, v) for a in (0, 90, 180, 270) for h in (False, True) for v in (False, True)])
def test_pictures_stand_upright(tmp_path: Path, turn: tuple[float, bool, bool]) -> None:
    angle, hflip, vflip = turn
    path = make(tmp_path / "turned.mp4", frames=1, rotation=turn)
    stored = next(iter(media.iter_frames(make(tmp_path / "plain.mp4", frames=1))))[2]
    # The tag says: turn counter-clockwise by the angle, then mirror; as ffmpeg's autorotation does.
    shown = np.rot90(stored, round(angle / 90))
    shown = shown[:, ::-1] if hflip else shown
    shown = shown[::-1] if vflip else shown
    found = next(iter(media.iter_frames(path)))[2]
    assert found.shape == shown.shape
    assert np.abs(found.astype(int) - shown).mean() < 1


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "mp4"), ("libx265", "mp4"), ("libvpx-vp9", "mkv"), ("ffv1", "mkv")]
)
@pytest.mark.parametrize("color", [(1, 1, 1, 1), (2, 1, 1, 1), (1, 5, 5, 6), (1, 9, 9, 1)])
def test_colours_are_read_with_their_matrix_and_range(
    tmp_path: Path, codec: str, suffix: str, color: tuple[int, int, int, int]
) -> None:
    """A grey and three colours, encoded with the tags by hand, come out as they were."""
    from av.video.frame import VideoFrame

    from storage.media_planes import Converter, planes_of

    weights = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[color[1]]
    for rgb in ((128, 128, 128), (200, 60, 40), (30, 180, 90), (250, 250, 250)):
        r, g, b = (value / 255 for value in rgb)
        luma = weights[0] * r + (1 - sum(weights)) * g + weights[1] * b
        blue, red = (b - luma) / (2 * (1 - weights[1])), (r - luma) / (2 * (1 - weights[0]))
        full = color[0] == 2
        frame = VideoFrame(32, 32, "yuv420p")
        for plane, value in zip(
            planes_of(frame),
            (
                luma * (255 if full else 219) + (0 if full else 16),
                *(c * (255 if full else 224) + 128 for c in (blue, red)),
            ),
            strict=True,
        ):
            plane[:] = round(value)
        frame.color_range, frame.colorspace = color[0], color[1]
        assert Converter().rgb(frame)[16, 16].astype(int) == pytest.approx(rgb, abs=3)


def test_odd_sizes(tmp_path: Path) -> None:
    path = make(tmp_path / "odd.mkv", frames=3, size=(97, 65), codec="libvpx-vp9", options={"crf": "4", "b": "0"})
    frames = [rgb for _, _, rgb in media.iter_frames(path)]
    assert frames[0].shape == (65, 97, 3)
    assert np.abs(frames[0].astype(int) - picture(0, 97, 65)).mean() < 6


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for frames in (30, 250):
        path = make(tmp_path / f"{frames}.mp4", frames=frames, size=(320, 240), sounds=[clicks(frames / 25, [0.5])])
        tracemalloc.start()
        for _ in media.iter_frames(path):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000


def test_files_are_closed(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4")
    frames = media.iter_frames(path)
    next(frames)
    frames.close()
    list(media.iter_frames(path, 0.4, 0.5))
    media.read_audio(media.write_audio(tmp_path / "a.wav", np.zeros(100, np.float32)))
    media.probe(path)
    open_files = {
        str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink() and entry.exists()
    }
    assert not {name for name in open_files if name.startswith(str(tmp_path))}


def test_no_picture(tmp_path: Path) -> None:
    sound = media.write_audio(tmp_path / "a.wav", np.zeros(100, np.float32))
    with pytest.raises(InputRejected, match="no video track"):
        next(media.iter_frames(sound))
    with pytest.raises(InputFailed, match="No such file"):
        next(media.iter_frames(tmp_path / "none.mp4"))


def test_real_clip_indexes_after_a_seek(shared_dir: Path) -> None:
    path = shared_dir / "media/video/face_recognition__short_hamilton_clip.mp4"
    whole = {index: (pts, rgb[::8, ::8].copy()) for index, pts, rgb in media.iter_frames(path)}
    assert len(whole) == 275
    for start in (0.0, 0.853, 1.519, 3.7, 9.2):
        for index, pts, rgb in media.iter_frames(path, start, start + 0.2):
            assert pts == whole[index][0]
            assert np.array_equal(rgb[::8, ::8], whole[index][1])
