"""A rewritten video is the video that came in, except where it was changed."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import media
from storage.errors import InputFailed, InputRejected, UsageError
from tests.storage.footage import (
    BOX,
    clicks,
    first_click,
    index_in,
    invert_every_second,
    make,
    picture,
    psnr,
    scratch,
    stamps,
    subtitle_texts,
)


def pictures(path: Path) -> list[np.ndarray]:
    return [rgb for _, _, rgb in media.iter_frames(path)]


def outside(rgb: np.ndarray, box: np.ndarray, margin: int = 16) -> np.ndarray:
    """The pixels away from a box; a codec's block filter reaches some pixels over its edge."""
    mask = np.ones(rgb.shape[:2], dtype=bool)
    if box.any():
        mask[max(0, box[1] - margin) : box[3] + margin, max(0, box[0] - margin) : box[2] + margin] = False
    return rgb[mask]


VIDEOS = {
    "plain.mp4": {},
    "reordered.mp4": {"options": {"bf": "3", "g": "12", "preset": "medium"}},
    "late.mp4": {"start": 10907},
    "ntsc.mp4": {"rate": Fraction(30000, 1001), "base": Fraction(1, 30000)},
    "film.mp4": {"rate": Fraction(24000, 1001), "base": Fraction(1, 24000)},
    "odd_clock.mp4": {"base": Fraction(1, 11988), "rate": Fraction(2997, 100), "start": 10214},
    "turned.mp4": {"rotation": (90, False, False), "size": (128, 96)},
    "mirrored.mp4": {"rotation": (180, True, False), "size": (128, 96)},
    "wide.mp4": {"sar": Fraction(4, 3), "color": (1, 1, 1, 1)},
    "full.mp4": {"pix_fmt": "yuvj420p", "color": (2, 5, 6, 6)},
    "hdr.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le", "color": (1, 9, 9, 16),
                "options": {"x265-params": "crf=8:log-level=none"}},
    "rich.mp4": {"pix_fmt": "yuv444p", "size": (97, 65)},
    "web.mkv": {"codec": "libvpx-vp9", "size": (97, 65), "options": {"crf": "8", "b": "0"}},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "grey.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "old.avi": {"codec": "mpeg4", "base": Fraction(1, 25), "options": {"qscale": "2", "bf": "0", "b": "3000000"}},
}  # fmt: skip


@pytest.mark.parametrize("name", VIDEOS)
def test_timing_tags_and_pixels_are_kept(tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, sounds=[clicks(1, [0.4])] if name != "old.avi" else [], **VIDEOS[name])
    out = tmp_path / "out.mp4"
    report = media.rewrite_video(source, out, invert_every_second, audio=clicks(1, [0.3]), audio_rate=48000)
    before, after = media.probe(source), media.probe(out)
    assert before.video is not None
    assert after.video is not None

    base_in, stamps_in = stamps(source)
    base_out, stamps_out = stamps(out)
    assert [stamp * base_in for stamp in stamps_in] == [stamp * base_out for stamp in stamps_out]
    if base_in.numerator == 1:
        assert base_out == base_in or base_in.denominator < 1000
    assert report.frames == before.video.frames == after.video.frames == 24
    assert after.video.fps == before.video.fps
    assert after.video.start_s == before.video.start_s
    assert after.video.duration_s == pytest.approx(before.video.duration_s, abs=0.05)

    for name_of_tag in ("width", "height", "rotation", "matrix", "sar"):
        assert getattr(after.video, name_of_tag) == getattr(before.video, name_of_tag), name_of_tag
    if not before.video.pix_fmt.startswith(("bgr", "gray")):
        for name_of_tag in ("color_space", "color_primaries", "color_trc"):
            assert getattr(after.video, name_of_tag) == getattr(before.video, name_of_tag), name_of_tag
        # H.264 does not write "limited", it is what the absence of a range means.
        assert (after.video.color_range or 1) == (before.video.color_range or 1)

    assert report.changed == 12
    for index, (old, new, box) in enumerate(zip(pictures(source), pictures(out), report.boxes, strict=True)):
        assert psnr(outside(old, box), outside(new, box)) >= 40
        if index % 2:
            assert not box.any()
        else:
            assert tuple(box) == BOX
            x0, y0, x1, y1 = BOX
            inside = slice(y0 + 3, y1 - 3), slice(x0 + 3, x1 - 3)
            assert psnr(255 - old[inside], new[inside]) > 30


def test_unchanged_pixels_reach_the_encoder_bit_for_bit(tmp_path: Path) -> None:
    from storage.media_planes import Converter, apply_change, planes_of

    with av.open(str(make(tmp_path / "film.mp4", frames=1))) as container:
        frame = next(container.decode(video=0))
    before = Converter().rgb(frame)
    original = [plane.copy() for plane in planes_of(frame)]
    after = before.copy()
    after[25:37, 31:44] = 200
    assert apply_change(frame, before, after) is not None
    x0, y0, x1, y1 = 30, 24, 44, 38  # grown to the chroma grid
    for plane, old, step in zip(planes_of(frame), original, (1, 2, 2), strict=True):
        mask = np.ones(plane.shape, dtype=bool)
        mask[y0 // step : y1 // step, x0 // step : x1 // step] = False
        assert np.array_equal(plane[mask], old[mask])
        assert not np.array_equal(plane, old)
    assert np.abs(Converter().rgb(frame)[26:36, 32:42].astype(int) - 200).max() <= 4


@settings(deadline=None, max_examples=40)
@given(
    x0=st.integers(0, 90), y0=st.integers(0, 60), width=st.integers(1, 60), height=st.integers(1, 60),
    value=st.integers(0, 255), pix_fmt=st.sampled_from(["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"]),
    full=st.booleans(), matrix=st.sampled_from([1, 5, 6, 9, 2]),
)  # fmt: skip
def test_a_change_of_planes_is_the_change_of_the_picture(
    x0: int, y0: int, width: int, height: int, value: int, pix_fmt: str, full: bool, matrix: int
) -> None:
    """Whatever the box, format, range and matrix: what comes out as RGB is what was put in, and nothing else moves."""
    from av.video.frame import VideoFrame

    from storage.media_planes import Converter, apply_change, planes_of

    frame = VideoFrame.from_ndarray(picture(3), format="rgb24").reformat(format=pix_fmt)
    frame.color_range, frame.colorspace = (2 if full else 1), matrix
    before = Converter().rgb(frame)
    original = [plane.copy() for plane in planes_of(frame)]
    after = before.copy()
    after[y0 : y0 + height, x0 : x0 + width] = (value, value, value)
    box = apply_change(frame, before, after)
    if box is None:
        assert np.array_equal(before, after)
        return
    assert all(low >= edge for low, edge in zip(box[:2], (x0, y0), strict=True))
    made = Converter().rgb(frame).astype(int)
    inner = (slice(y0 + 2, y0 + height - 2), slice(x0 + 2, x0 + width - 2))
    if made[inner].size:
        assert np.abs(made[inner] - after[inner]).max() <= 12
        assert np.abs(made[inner] - after[inner]).mean() <= 3
    mask = np.ones(original[0].shape, dtype=bool)
    mask[y0 // 2 * 2 : y0 + height + 2, x0 // 2 * 2 : x0 + width + 2] = False
    assert np.array_equal(planes_of(frame)[0][mask], original[0][mask])


@settings(deadline=None, max_examples=15)
@given(
    steps=st.lists(st.integers(1, 4000), min_size=6, max_size=20),
    start=st.integers(0, 60000),
    base=st.sampled_from([Fraction(1, 12800), Fraction(1, 90000), Fraction(1, 1000), Fraction(1, 11988)]),
    ahead=st.integers(1, 7),
)
def test_any_timestamps_come_out_as_they_were(steps: list[int], start: int, base: Fraction, ahead: int) -> None:
    place = scratch()
    pts = [int(value) for value in np.cumsum(steps) - steps[0]]
    source = make(place / "vfr.mp4", frames=len(steps), pts=pts, start=start, base=base, options={"bf": "2"})
    with media.VideoRewriter(source, place / "out.mp4", audio=clicks(0.5, [0.2]), audio_rate=48000) as rewriter:
        waiting = []
        for index, pts_s, rgb in rewriter.frames():
            waiting.append((index, pts_s, rgb))
            if len(waiting) == ahead:  # read ahead, write back only the last: the others pass through
                rewriter.write(index, rgb.copy())
                waiting = []
    base_in, stamps_in = stamps(source)
    base_out, stamps_out = stamps(place / "out.mp4")
    assert [stamp * base_in for stamp in stamps_in] == [stamp * base_out for stamp in stamps_out]
    assert rewriter.report.frames == len(steps)
    assert rewriter.report.changed == 0


@pytest.mark.parametrize(("suffix", "late"), [("mp4", 0.0), ("mp4", 0.852), ("mov", 0.0), ("mkv", 0.2)])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_the_new_sound_starts_at_timeline_zero(tmp_path: Path, suffix: str, late: float, rate: int) -> None:
    source = make(tmp_path / f"in.{suffix}", frames=50, start=round(late * 12800), sounds=[clicks(2, [1.7])])
    track = media.write_audio(tmp_path / "dub.wav", clicks(2, [0.25, 1.5], rate), rate)
    out = tmp_path / f"out.{suffix}"
    for audio in (track, clicks(2, [0.25, 1.5], rate)):
        media.rewrite_video(source, out, None, audio=audio, audio_rate=rate)
        sound = media.read_audio(out, 48000)
        assert first_click(sound, 48000) == pytest.approx(0.25, abs=0.002)
        assert first_click(sound, 48000, 1.0) == pytest.approx(1.5, abs=0.002)
        assert media.probe(out).video.start_s == media.probe(source).video.start_s


@pytest.mark.parametrize(("seconds", "cut"), [(0.5, 0.0), (2.0, 0.0), (3.5, 1.5)])
def test_the_new_sound_is_as_long_as_the_film(tmp_path: Path, seconds: float, cut: float) -> None:
    source = make(tmp_path / "in.mp4", frames=50, sounds=[clicks(2, [1])])
    report = media.rewrite_video(source, tmp_path / "out.mp4", None, audio=clicks(seconds, [0.1]), audio_rate=48000)
    before, after = media.probe(source), media.probe(tmp_path / "out.mp4")
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.03)
    assert after.audio[0].duration_s == pytest.approx(2.0, abs=0.03)
    assert report.audio_cut_s == pytest.approx(cut, abs=0.03)


@pytest.mark.parametrize(
    ("source_name", "out_name", "coding"),
    [
        ("in.mp4", "out.mp4", "mov_text"), ("in.mkv", "out.mkv", "subrip"), ("in.mkv", "out.mp4", "subrip"),
        ("in.mkv", "out.mp4", "ass"), ("in.mp4", "out.mkv", "mov_text"),
    ],
)  # fmt: skip
def test_other_tracks_chapters_and_tags_are_carried_over(
    tmp_path: Path, source_name: str, out_name: str, coding: str
) -> None:
    source = make(
        tmp_path / source_name, frames=25, sounds=[clicks(1, [0.2]), clicks(1, [0.6])], subtitles=coding, chapters=True,
        tags={"title": "Der Film", "artist": "A"},
    )  # fmt: skip
    out = tmp_path / out_name
    report = media.rewrite_video(
        source, out, None, audio=clicks(1, [0.4]), audio_rate=48000, audio_language="spa", metadata={"comment": "new"}
    )
    assert report.dropped == ()
    after = media.probe(out)
    assert [track.language for track in after.audio] == ["spa", "deu"]
    assert first_click(media.read_audio(out, 48000, track=0), 48000) == pytest.approx(0.4, abs=0.002)
    assert first_click(media.read_audio(out, 48000, track=1), 48000) == pytest.approx(0.6, abs=0.002)
    titles = subtitle_texts(out)
    assert [time for time, _ in titles] == pytest.approx([0.1, 0.35, 0.6], abs=0.002)
    assert all(f"line {number}" in text for number, (_, text) in enumerate(titles))
    with av.open(str(out)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["part 0", "part 1"]
        assert [float(c["end"] * c["time_base"]) for c in container.chapters()] == pytest.approx([0.4, 0.8], abs=0.002)
        tags = {name.lower(): value for name, value in container.metadata.items()}
        assert tags["title"] == "Der Film"
        assert tags["artist"] == "A"
        assert tags["comment"] == "new"
        assert container.streams.subtitles[0].metadata["language"] == "fra"


def test_sound_in_a_coding_that_the_container_does_not_take_is_encoded_again(tmp_path: Path) -> None:
    source = make(
        tmp_path / "in.mov", frames=25, sounds=[clicks(1, [0.1]), clicks(1, [0.7])], sound_codec="pcm_alaw",
        sound_start_s=0.2,
    )  # fmt: skip
    report = media.rewrite_video(source, tmp_path / "out.mp4", None, audio=clicks(1, [0.3]), audio_rate=48000)
    assert report.dropped == ()
    after = media.probe(tmp_path / "out.mp4")
    assert [track.codec for track in after.audio] == ["aac", "aac"]
    assert first_click(media.read_audio(tmp_path / "out.mp4", 48000, track=0), 48000) == pytest.approx(0.3, abs=0.002)
    assert first_click(media.read_audio(tmp_path / "out.mp4", 48000, track=1), 48000) == pytest.approx(0.9, abs=0.002)


def test_what_a_container_cannot_hold_is_named(tmp_path: Path) -> None:
    source = make(tmp_path / "plain.mkv", frames=5)
    with_font = tmp_path / "font.mkv"
    with av.open(str(source)) as old, av.open(str(with_font), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        new.add_attachment("a.ttf", "font/ttf", b"0123")
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    assert media.rewrite_video(with_font, tmp_path / "out.mp4", None).dropped == ("attachment track 1 (attachment)",)
    assert media.rewrite_video(with_font, tmp_path / "out.mkv", None).dropped == ()
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [bytes(track.data) for track in container.streams if track.type == "attachment"] == [b"0123"]


def test_the_sound_is_kept_where_no_other_is_given(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", frames=25, sounds=[clicks(1, [0.2])])
    media.rewrite_video(source, tmp_path / "out.mp4", invert_every_second)
    assert np.array_equal(media.read_audio(source), media.read_audio(tmp_path / "out.mp4"))


def test_a_free_running_clock_starts_at_zero(tmp_path: Path) -> None:
    source = make(
        tmp_path / "cast.ts", frames=30, base=Fraction(1, 90000), start=90000 * 7200, options={"bf": "2"},
        sounds=[clicks(1.2, [0.5])], sound_start_s=7200,
    )  # fmt: skip
    media.rewrite_video(source, tmp_path / "out.mp4", invert_every_second, audio=clicks(1, [0.5]), audio_rate=48000)
    before = [(pts, index_in(rgb)) for _, pts, rgb in media.iter_frames(source)]
    after = [(pts, index_in(rgb)) for _, pts, rgb in media.iter_frames(tmp_path / "out.mp4")]
    assert [seen for _, seen in after] == [seen for _, seen in before]
    assert [pts for pts, _ in after] == pytest.approx([pts for pts, _ in before], abs=1e-3)
    assert after[0][0] < 1


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p", "yuv444p", "bgr0", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv444p12le", "gbrp10le"],
)
def test_pure_noise_keeps_40_db(tmp_path: Path, pix_fmt: str) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(8)]
    source = make(tmp_path / "in.mkv", frames=8, size=(128, 128), pictures=noise, codec="ffv1", pix_fmt=pix_fmt)
    media.rewrite_video(source, tmp_path / "out.mp4", None)
    for old, new in zip(pictures(source), pictures(tmp_path / "out.mp4"), strict=True):
        assert psnr(old, new) >= 40


def test_frames_are_read_only_and_the_input_is_never_the_output(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", frames=4)
    before = source.read_bytes()

    def scribble(index: int, pts_s: float, rgb: np.ndarray) -> np.ndarray:
        rgb[:] = 0
        return rgb

    with pytest.raises(ValueError, match="read-only"):
        media.rewrite_video(source, tmp_path / "out.mp4", scribble)
    with pytest.raises(UsageError, match="input itself"):
        media.rewrite_video(source, source, None)
    os.link(source, tmp_path / "same.mp4")
    with pytest.raises(UsageError, match="input itself"):
        media.rewrite_video(source, tmp_path / "same.mp4", None)
    with pytest.raises(UsageError, match=r"\.gif"):
        media.rewrite_video(source, tmp_path / "out.gif", None)
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "same.mp4"]


def test_nothing_is_left_when_the_work_fails(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", frames=20)
    out = tmp_path / "out.mp4"
    out.write_bytes(b"from an earlier run")

    def die(index: int, pts_s: float, rgb: np.ndarray) -> np.ndarray | None:
        if index == 10:
            raise RuntimeError("the model died")
        return None

    with pytest.raises(RuntimeError, match="the model died"):
        media.rewrite_video(source, out, die)
    assert out.read_bytes() == b"from an earlier run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_wrong_pictures_and_orders_are_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", frames=6)
    with pytest.raises(ValueError, match="changed frame"):
        media.rewrite_video(source, tmp_path / "a.mp4", lambda i, t, rgb: rgb[:10].copy())
    with pytest.raises(ValueError, match="not among"), media.VideoRewriter(source, tmp_path / "b.mp4") as rewriter:
        rewriter.write(0, None)


def test_broken_inputs_say_where(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="no video track"):
        media.rewrite_video(media.write_audio(tmp_path / "a.wav", np.zeros(99, np.float32)), tmp_path / "o.mp4", None)
    source = make(tmp_path / "in.mp4", frames=50, options={"g": "10"})
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 5] = b"\0" * (len(data) // 5)
    source.write_bytes(bytes(data))
    with pytest.raises(InputFailed, match="does not decode") as caught:
        media.rewrite_video(source, tmp_path / "o.mp4", None)
    assert caught.value.time_s is not None
    assert 0.2 < caught.value.time_s < 2
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.slow
def test_real_footage(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "media/video/face_recognition__short_hamilton_clip.mp4"
    out = tmp_path / "out.mp4"
    track = shared_dir / "media/audio/echomimic__echomimic_en.wav"
    report = media.rewrite_video(source, out, invert_every_second, audio=track)
    assert stamps(out) == stamps(source)
    before, after = media.probe(source), media.probe(out)
    assert before.video is not None
    assert after.video is not None
    assert (after.video.fps, after.video.duration_s) == (before.video.fps, before.video.duration_s)
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.02)
    for (index, _, old), (_, _, new) in zip(media.iter_frames(source), media.iter_frames(out), strict=True):
        assert psnr(outside(old, report.boxes[index]), outside(new, report.boxes[index])) >= 40
