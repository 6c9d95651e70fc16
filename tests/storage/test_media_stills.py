"""Still pictures read as films of one frame: right colours, upright, whole."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage import media
from storage.errors import InputFailed, InputRejected

SIZE = (24, 16)
SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "tiff")


def corners() -> np.ndarray:
    """uint8 [16,24,3]: red, green, blue and white quarters."""
    rgb = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    rgb[:8, :12], rgb[:8, 12:], rgb[8:, :12], rgb[8:, 12:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    return rgb


def only_frame(path: Path) -> np.ndarray:
    ((index, time_s, rgb),) = media.iter_frames(path)
    assert (index, time_s, rgb.dtype, rgb.shape[2]) == (0, 0.0, np.uint8, 3)
    return rgb


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("upper", [False, True])
def test_every_kind_is_a_film_of_one_frame(tmp_path: Path, suffix: str, upper: bool) -> None:
    path = tmp_path / f"a.{suffix.upper() if upper else suffix}"
    Image.fromarray(corners()).save(path, quality=100) if suffix in ("jpg", "jpeg") else Image.fromarray(
        corners()
    ).save(path, lossless=True)
    info = media.probe(path)
    assert info.still and info.video is not None and info.audio == ()
    assert (info.video.width, info.video.height, info.video.frames) == (*SIZE, 1)
    tolerance = 60 if suffix in ("jpg", "jpeg") else 0
    difference = np.abs(only_frame(path).astype(int) - corners())
    assert np.median(difference) <= tolerance / 10 and difference[:6, :10].max() <= tolerance
    assert media.frame_times(path).tolist() == [0.0]
    assert list(media.iter_frames(path, 0.1)) == [] and len(list(media.iter_frames(path, 0.0, 0.04))) == 1
    with pytest.raises(InputRejected, match="no audio track"):
        media.read_audio(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_it_upright(tmp_path: Path, orientation: int) -> None:
    rgb = corners()
    stored = {
        1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1], 5: rgb.swapaxes(0, 1), 6: np.rot90(rgb),
        7: rgb[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(rgb, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(only_frame(tmp_path / "a.png"), rgb)
    video = media.probe(tmp_path / "a.png").video
    assert video is not None and (video.width, video.height) == SIZE
    assert video.rotation == {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(orientation, 0)


def test_all_depths_and_channels_become_8_bit_rgb(tmp_path: Path) -> None:
    grey = np.arange(384, dtype=np.uint8).reshape(16, 24)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tiff")
    for name in ("grey.png", "deep.png", "float.tiff"):
        assert np.array_equal(only_frame(tmp_path / name), np.repeat(grey[..., None], 3, 2)), name
    Image.fromarray(corners()).quantize(4).save(tmp_path / "palette.png")
    assert np.abs(only_frame(tmp_path / "palette.png").astype(int) - corners()).max() < 8
    rgba = np.dstack([corners(), np.full((16, 24), 255, np.uint8)])
    rgba[:8, :12, 3], rgba[:8, 12:, 3] = 0, 51
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    seen = only_frame(tmp_path / "clear.png")
    assert seen[2, 2].tolist() == [128, 128, 128], "transparency shows grey"
    assert seen[2, 20].tolist() == [102, 153, 102], "a fifth of green over grey"
    assert seen[12, 2].tolist() == [0, 0, 255]


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.png")
    (tmp_path / "film.mp4").write_bytes((tmp_path / "a.png").read_bytes())
    assert media.probe(tmp_path / "film.mp4").still
    (tmp_path / "text.jpg").write_text("no picture\n" * 20)
    with pytest.raises(InputFailed, match="text"):
        media.probe(tmp_path / "text.jpg")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_cut_off(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputFailed) as caught:
        media.probe(tmp_path / f"a.{suffix}")
    assert caught.value.remedy


def test_a_claim_of_huge_sides_is_refused_unread(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "huge.png")
    data = bytearray((tmp_path / "huge.png").read_bytes())
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "huge.png").write_bytes(data)
    with pytest.raises(InputRejected, match="40000x40000") as caught:
        media.probe(tmp_path / "huge.png")
    assert (caught.value.measure, caught.value.value) == ("pixels", 1.6e9)
    with pytest.raises(InputRejected, match="pixels"):
        next(media.iter_frames(tmp_path / "huge.png"))


def test_no_rewriting_of_a_picture(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.png")
    with pytest.raises(InputRejected, match="animate"):
        media.rewrite_video(tmp_path / "a.png", tmp_path / "out.mp4", None)
