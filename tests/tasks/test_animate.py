"""A portrait: as long as its track, moving only where it speaks."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from storage import media
from storage.errors import InputFailed, InputRejected
from storage.provenance import read_stamp
from tasks.animate import animate_image, read_portrait
from tasks.config import Config
from tasks.dubber import Dubber
from tasks.dubbing.delivery import judged


@pytest.fixture(scope="module")
def portrait(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "face.png"
    frame = next(frame for _, _, frame in media.iter_frames(talking))
    cv2.imwrite(str(path), cv2.cvtColor(frame[:-1], cv2.COLOR_RGB2BGR))  # an odd height
    return path


def test_a_portrait_speaks_as_long_as_its_track(
    portrait: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    row = animate_image(portrait, track, tmp_path / "out.mp4", config, dubber, "sad")
    info = media.probe(tmp_path / "out.mp4", need_audio=True).video
    assert info is not None
    assert (row["status"], row["frames"], row["fps"]) == ("ok", 30, 25.0)
    assert (info.frames, info.fps) == (30, 25)
    assert row["outside_psnr_db"] >= 38
    assert (row["width"], row["height"]) == (info.width, info.height)
    assert info.height % 2 == 0
    said = read_stamp(tmp_path / "out.mp4")
    assert said is not None
    assert said["render_id"] == row["render_id"]


def test_large_pictures_are_shrunk_and_small_ones_kept(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((300, 1000, 3), np.uint8))
    assert read_portrait(tmp_path / "large.png", 500).shape == (150, 500, 3)
    assert read_portrait(tmp_path / "large.png", 5000).shape == (300, 1000, 3)


def test_what_is_transparent_becomes_grey(tmp_path: Path) -> None:
    picture = np.full((64, 64, 4), 255, np.uint8)
    picture[:, 32:, 3] = 0
    cv2.imwrite(str(tmp_path / "cutout.png"), picture)
    made = read_portrait(tmp_path / "cutout.png", 500)
    assert (made[:, :32] == 255).all()
    assert (made[:, 32:] == 128).all()


def test_what_is_no_portrait_is_told(track: Path, tmp_path: Path, config: Config, dubber: Dubber) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(InputRejected, match="no face"):
        animate_image(tmp_path / "grey.png", track, tmp_path / "out.mp4", config, dubber)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputFailed, match="not a picture"):
        animate_image(tmp_path / "text.png", track, tmp_path / "out.mp4", config, dubber)
    with pytest.raises(InputFailed, match="cannot be read"):
        animate_image(tmp_path / "none.png", track, tmp_path / "out.mp4", config, dubber)
    assert not (tmp_path / "out.mp4").exists()


def test_a_portrait_that_misses_a_threshold_is_kept_back(
    portrait: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    strict = config.with_(
        {"gate.keep_back": True, "gate.min_sync": None, "gate.max_sync_offset": None, "gate.min_outside_psnr_db": 99}
    )
    row = animate_image(portrait, track, tmp_path / "out.mp4", strict, dubber)
    assert (row["status"], row["stage"], row["measure"]) == ("rejected", "review", "outside PSNR")
    assert not (tmp_path / "out.mp4").exists()
    assert row["output_uri"] == str(tmp_path / "review" / "out.mp4")
    assert (tmp_path / "review" / "out.mp4").is_file()
    passed = judged(row, config.gate, str(tmp_path / "out.mp4"), "animate")
    assert (passed["status"], passed["stage"], passed["output_uri"]) == ("ok", "animate", str(tmp_path / "out.mp4"))


def test_the_colours_of_a_portrait_count_as_a_film_can_hold_them(tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[::2, ::2] = (255, 0, 0)  # colours finer than 4:2:0 keeps them
    path = media.write_video(tmp_path / "still.mp4", [picture] * 3, 25, crf=1)
    shown = next(frame for _, _, frame in media.iter_frames(path)).astype(np.float64)
    held, lost = (float(np.square(shown - one).mean()) for one in (media.as_held(picture), picture))
    assert held < 20 < 1000 < lost
