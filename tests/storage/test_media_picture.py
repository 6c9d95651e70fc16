"""What a picture is stored as comes out as it went in, whatever it is, or is refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from storage import media
from storage.errors import InputRejected
from storage.media_hdr import light_level, mastering_display
from storage.media_siting import chroma_location
from tests.storage.footage import BOX, clicks, invert_every_second, make, psnr, stamps, with_message

MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
QUIET = "crf=8:log-level=none"
HDR10 = {"x265-params": f"{QUIET}:master-display={MASTERING}:max-cll=1000,400"}
H265 = {"codec": "libx265", "options": {"x265-params": QUIET}}
MPEG2 = {"codec": "mpeg2video", "base": Fraction(1, 25), "options": {"qscale": "2", "b": "5000000"}}
VP9 = {"codec": "libvpx-vp9", "options": {"crf": "8", "b": "0"}}
BOTTOM_FIRST = 3
PQ, HLG = (1, 9, 9, 16), (1, 9, 9, 18)

# Name of the source, how it is made, and the format of the output where it cannot be the source's.
PICTURES: dict[str, tuple[dict[str, Any], str | None]] = {
    "pq.mp4": (H265 | {"pix_fmt": "yuv420p10le", "color": PQ, "options": HDR10}, None),
    "pq.mkv": (H265 | {"pix_fmt": "yuv420p10le", "color": PQ, "options": HDR10}, None),
    "hlg.mov": (H265 | {"pix_fmt": "yuv420p10le", "color": HLG}, None),
    "pq_422_12.mp4": (H265 | {"pix_fmt": "yuv422p12le", "color": PQ, "options": HDR10}, None),
    "h264_10.mp4": ({"pix_fmt": "yuv420p10le", "color": (1, 1, 1, 1)}, None),
    "h264_422.mp4": ({"pix_fmt": "yuv422p"}, None),
    "h264_422_10.mp4": ({"pix_fmt": "yuv422p10le"}, None),
    "h264_444.mp4": ({"pix_fmt": "yuv444p"}, None),
    "h264_444_10.mp4": ({"pix_fmt": "yuv444p10le"}, None),
    "full_range_10.mp4": ({"pix_fmt": "yuv420p10le", "color": (2, 9, 9, 14)}, None),
    "h265_8.mp4": (H265, None),
    "h265_12.mp4": (H265 | {"pix_fmt": "yuv420p12le"}, None),
    "prores.mov": ({"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, None),
    "prores_4444.mov": ({"codec": "prores_ks", "pix_fmt": "yuv444p10le"}, None),
    "dnxhr.mov": (
        {"codec": "dnxhd", "size": (320, 240), "pix_fmt": "yuv422p10le", "options": {"profile": "dnxhr_hqx"}}, None,
    ),
    "web.webm": (VP9, None),
    "anamorphic.webm": (VP9 | {"sar": Fraction(16, 11)}, None),
    "anamorphic.mp4": ({"sar": Fraction(64, 45), "size": (128, 96)}, None),
    "mpeg2.ts": (MPEG2, None),
    "mpeg2.mkv": (MPEG2 | {"pix_fmt": "yuv422p"}, None),
    "camera.avi": (
        {"codec": "mjpeg", "pix_fmt": "yuvj422p", "base": Fraction(1, 25), "options": {"qscale": "2", "b": "50000000"}},
        None,
    ),
    "turned_10.mov": ({"rotation": (90, False, False), "size": (128, 96), "pix_fmt": "yuv420p10le"}, None),
    "turned.mkv": ({"rotation": (270, False, False), "size": (128, 96)}, None),
    "top_field.mp4": ({"options": {"x264-params": "tff=1"}}, None),
    "bottom_field.mp4": ({"options": {"x264-params": "bff=1"}}, None),
    "top_field_10.mp4": ({"pix_fmt": "yuv422p10le", "options": {"x264-params": "tff=1"}}, None),
    "fields.ts": (MPEG2 | {"options": {"qscale": "2", "b": "5000000", "flags": "+ildct+ilme"}}, None),
    "dv.mov": ({"codec": "dvvideo", "size": (720, 576), "base": Fraction(1, 25)}, None),
    "odd_444.mp4": ({"pix_fmt": "yuv444p", "size": (97, 65)}, None),
    "odd.mkv": ({"codec": "ffv1", "size": (97, 65)}, "yuv444p"),
    "odd_high.mkv": ({"codec": "ffv1", "size": (96, 65), "pix_fmt": "yuv422p"}, None),
    "odd_10.mkv": ({"codec": "ffv1", "size": (97, 65), "pix_fmt": "yuv420p10le"}, "yuv444p10le"),
    "rgb.mp4": ({"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"crf": "8"}}, "yuvj444p"),
    "rgb_10.mkv": ({"codec": "ffv1", "pix_fmt": "gbrp10le"}, "yuv444p10le"),
    "opaque.mov": ({"codec": "qtrle", "pix_fmt": "argb"}, "yuv444p"),
    "opaque_12.mov": ({"codec": "prores_ks", "pix_fmt": "yuva444p10le"}, "yuv444p12le"),
    "animated.gif": ({"codec": "gif", "pix_fmt": "rgb8", "base": Fraction(1, 100)}, "yuv444p"),
    "quarter.mkv": ({"codec": "ffv1", "pix_fmt": "yuv411p"}, "yuv422p"),
    "grey.mkv": ({"codec": "ffv1", "pix_fmt": "gray10le"}, "yuv420p10le"),
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """How a picture is stored, as its decoder tells."""

    pix_fmt: str
    size: tuple[int, int]
    sar: Fraction
    matrix: tuple[int, ...] | None
    fields: int
    colors: tuple[int, ...]
    mastering: str | None
    light: str | None


def stored(path: Path) -> Stored:
    info = media.probe(path).video
    assert info is not None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        order = stream.codec_context.field_order
        return Stored(
            info.pix_fmt, (info.coded_width, info.coded_height), info.sar, info.matrix,
            order if frame.interlaced_frame and order > 1 else int(frame.interlaced_frame),
            (info.color_space, info.color_range or 1, info.color_primaries, info.color_trc),
            mastering_display(frame), light_level(frame),
        )  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_comes_out_as_it_went_in(tmp_path: Path, name: str) -> None:
    how, other_format = PICTURES[name]
    source = make(tmp_path / name, frames=9, **how)
    before = stored(source)
    if name.startswith("pq"):
        assert (before.mastering, before.light) == (MASTERING, "1000,400")
    media.check_encodable(source)
    for suffix in ("mp4", "mkv") if name.startswith(("pq", "turned", "top_field", "anamorphic")) else ("mp4",):
        out = tmp_path / f"out.{suffix}"
        report = media.rewrite_video(source, out, invert_every_second, audio=clicks(0.3, [0.1]), audio_rate=48000)
        after = stored(out)
        assert after.pix_fmt == (other_format or before.pix_fmt)
        assert (after.size, after.sar, after.matrix) == (before.size, before.sar, before.matrix)
        if before.fields <= 1 or name == "fields.ts":  # a container need not say which field comes first
            assert bool(after.fields) == bool(before.fields)
            assert name != "dv.mov" or after.fields == BOTTOM_FIRST
        else:
            assert after.fields == before.fields
        if other_format is None:
            assert after.colors == before.colors
            assert report.notes == ()
        else:
            said = any(other_format.replace("j", "") in note for note in report.remarks())
            assert said or name in ("grey.mkv", "opaque_12.mov")
        assert (after.mastering, after.light) == (before.mastering, before.light)
        assert np.allclose(media.frame_times(out), media.frame_times(source), atol=6e-4 if suffix == "mkv" else 1e-9)
        pairs = zip(media.iter_frames(source), media.iter_frames(out), strict=True)
        for (index, _, old), (_, _, new) in pairs:
            if index % 2:
                assert psnr(old, new) >= 40
            else:
                x0, y0, x1, y1 = BOX
                far = np.ones(old.shape[:2], dtype=bool)
                far[y0 - 16 : y1 + 16, x0 - 16 : x1 + 16] = False
                assert psnr(old[far], new[far]) >= 40
                inside = slice(y0 + 3, y1 - 3), slice(x0 + 3, x1 - 3)
                assert psnr(255 - old[inside], new[inside]) > 30


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p12le"])
def test_deep_pictures_keep_their_depth_beside_the_change(tmp_path: Path, pix_fmt: str) -> None:
    """Greys that lie between those of 8 bits come out between them, in frames that were changed elsewhere too."""
    from storage.media_planes import planes_of

    greys = [np.full((64, 96, 3), 40 + 5 * index, dtype=np.uint8) for index in range(16)]
    source = make(tmp_path / "in.mkv", frames=16, codec="ffv1", pix_fmt=pix_fmt, pictures=greys)
    media.rewrite_video(source, tmp_path / "out.mp4", invert_every_second)
    apart, from_8_bits = [], []
    with av.open(str(source)) as old, av.open(str(tmp_path / "out.mp4")) as new:
        for one, other in zip(old.decode(video=0), new.decode(video=0), strict=True):
            a, b = (planes_of(frame)[0][:, 76:].astype(float) for frame in (one, other))
            step = 1 << (one.format.components[0].bits - 8)
            apart.append(np.abs(a - b).mean() / step)
            from_8_bits.append(np.abs(a - np.rint(a / step) * step).mean() / step)
    assert np.mean(apart) < 0.08 < 0.2 < np.mean(from_8_bits)


@pytest.mark.parametrize(
    ("name", "how", "measure", "words"),
    [
        ("deep.mkv", {"codec": "ffv1", "pix_fmt": "yuv444p16le"}, "bits", "16 bits"),
        ("rgb.mkv", {"codec": "ffv1", "pix_fmt": "gbrp14le"}, "bits", "14 bits"),
        (
            "fields.mov", {"codec": "prores_ks", "pix_fmt": "yuv444p10le", "options": {"flags": "+ildct"}}, "bits",
            "interlaced",
        ),
        ("ictcp.mp4", H265 | {"pix_fmt": "yuv420p10le", "color": (1, 14, 9, 16)}, "color_space", "ICtCp"),
        ("ycgco.mp4", {"pix_fmt": "yuv444p", "color": (1, 8, 1, 1)}, "color_space", "YCgCo"),
        ("alpha.webm", VP9 | {"pix_fmt": "yuva420p"}, "alpha", "transparent"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_with_the_reason(
    tmp_path: Path, name: str, how: dict[str, Any], measure: str, words: str
) -> None:
    source = make(tmp_path / name, frames=3, **how)
    with pytest.raises(InputRejected, match=words) as caught:
        media.rewrite_video(source, tmp_path / "out.mp4", None)
    assert caught.value.measure == measure
    assert caught.value.remedy
    with pytest.raises(InputRejected, match=words):
        media.check_encodable(source)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_that_turns_transparent_is_refused_where_it_does(tmp_path: Path) -> None:
    frames = [np.full((64, 96, 4), 255, dtype=np.uint8) for _ in range(10)]
    frames[6][20:30, 20:30, 3] = 250
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgba"
        for rgba in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode(None))
    with pytest.raises(InputRejected, match=r"transparent in places \(at 0\.24 s\)"):
        media.rewrite_video(source, tmp_path / "out.mp4", None)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_films_of_a_few_frames_are_films(tmp_path: Path, frames: int, pix_fmt: str) -> None:
    source = make(tmp_path / "in.mkv", frames=frames, codec="ffv1", pix_fmt=pix_fmt)
    for _ in range(3):
        media.rewrite_video(source, tmp_path / "out.mp4", None)
        base, times = stamps(tmp_path / "out.mp4")
        assert [float(stamp * base) for stamp in times] == pytest.approx([index / 25 for index in range(frames)])


def test_the_same_deep_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", frames=30, codec="ffv1", pix_fmt="yuv420p10le", size=(192, 128))
    for name in ("a.mp4", "b.mp4"):
        media.rewrite_video(source, tmp_path / name, invert_every_second)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("place", ["left", "center", "topleft", "top", "bottomleft", "bottom"])
@pytest.mark.parametrize("deep", [False, True])
def test_colour_samples_stay_in_their_place(tmp_path: Path, place: str, deep: bool) -> None:
    how = {"codec": "libx265", "pix_fmt": "yuv420p10le"} if deep else {}
    noise = list(np.random.default_rng(0).integers(0, 256, (6, 64, 96, 3), dtype=np.uint8))
    options = {"chroma_sample_location": place} | ({"x265-params": "qpmax=4:log-level=none"} if deep else {"crf": "4"})
    source = make(tmp_path / "in.mp4", frames=6, pictures=noise, options=options, **how)
    media.rewrite_video(source, tmp_path / "out.mp4", None)
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            assert chroma_location(str(path), next(container.decode(video=0))) == place
    for (_, _, old), (_, _, new) in zip(
        media.iter_frames(source), media.iter_frames(tmp_path / "out.mp4"), strict=True
    ):
        assert psnr(old, new) >= 40


@pytest.mark.parametrize("deep", [False, True])
def test_captions_in_the_picture_stay_with_their_frames(tmp_path: Path, deep: bool) -> None:
    """CEA-708 as broadcasters have it (ATSC A/53), one pair of letters for each frame."""
    how = H265 | {"pix_fmt": "yuv420p10le"} if deep else {}
    film = make(tmp_path / "film.mp4", frames=8, **how)
    source = with_message(
        film, tmp_path / "in.mp4", deep, lambda number: b"\xb5\0\x31GA94\3\x41\xff\xfc%cB\xff" % (0x41 + number)
    )
    media.rewrite_video(source, tmp_path / "out.mp4", invert_every_second)
    before, after = said_beside(source, "A53_CC"), said_beside(tmp_path / "out.mp4", "A53_CC")
    assert len({*before}) == 8
    assert after == before


def test_metadata_of_single_scenes_are_named_as_lost(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", frames=3, **H265, pix_fmt="yuv420p10le", color=PQ)
    hdr10_plus = b"\xb5\0\x3c\0\1\4\1" + (1 << 118).to_bytes(15, "big")  # one window, all of it zero
    source = with_message(film, tmp_path / "in.mp4", True, lambda number: hdr10_plus)
    report = media.rewrite_video(source, tmp_path / "out.mp4", None)
    assert report.remarks() == ["not carried over: HDR10+ metadata"]


def test_dolby_vision_without_a_picture_of_its_own_is_refused(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", frames=3, **H265, pix_fmt="yuv420p10le")
    data = film.read_bytes()
    assert data.count(b"hev1") == 1
    film.write_bytes(data.replace(b"hev1", b"dvh1"))
    with pytest.raises(InputRejected, match="Dolby Vision"):
        media.check_encodable(film)


def said_beside(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(frame.side_data.get(kind)) for frame in container.decode(video=0)]
