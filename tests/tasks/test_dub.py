"""A dub: same frames, same times, the given track, the same picture outside the face, and it says what it is."""

from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import InputFailed, InputRejected
from storage.ids import file_sha256
from storage.provenance import read_stamp
from tasks.config import Config
from tasks.dub import dub_video
from tasks.dubber import Dubber, render_key
from tasks.sealing import verify_render
from tests.tasks.conftest import FRAMES, grey_noise


@pytest.fixture(scope="module")
def mixed(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face, a title card without one, the face again; a variable frame rate that starts late."""
    face = [frame for _, _, frame in media.iter_frames(talking)]
    card = np.full_like(face[0], 30)
    card[40:60, 60:-60] = 220
    frames = [*face[:12], *[card] * 10, *face[12:24]]
    steps = np.where(np.arange(len(frames)) % 3 == 0, 0.05, 0.035)
    pts = 0.4 + np.concatenate([[0], np.cumsum(steps[:-1])])
    sound = media.read_audio(talking, 16000, 0.0, 1.2)
    return media.write_video(tmp_path_factory.mktemp("dub") / "mixed.mp4", frames, 25, sound, pts=pts)


def test_a_dub_keeps_time_and_picture_and_says_what_it_is(
    talking: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    before = file_sha256(talking)
    told: list[tuple[str, int, int]] = []
    row = dub_video(
        talking, track, tmp_path / "out.mp4", config, dubber, "happy", run_id="r1",
        progress=lambda what, done, total: told.append((what, done, total)),
    )  # fmt: skip
    assert (row["status"], row["frames"], row["windows"]) == ("ok", FRAMES, row["windows"])
    assert row["windows"] >= FRAMES / 8
    assert row["faces"] == 1
    assert row["outside_psnr_db"] >= 40
    assert (row["emotion"], row["caption"], row["synthetic"]) == ("happy", "happy", True)
    source, out = media.probe(talking), media.probe(tmp_path / "out.mp4")
    assert source.video is not None
    assert out.video is not None
    assert np.allclose(media.frame_times(tmp_path / "out.mp4"), media.frame_times(talking))
    assert (out.video.width, out.video.height, out.video.fps) == (source.video.width, source.video.height, 25)
    pairs = zip(media.iter_frames(talking), media.iter_frames(tmp_path / "out.mp4"), strict=True)
    changed = [not np.allclose(a, b, atol=12) for (_, _, a), (_, _, b) in pairs]
    assert sum(changed) >= FRAMES - 2
    said = read_stamp(tmp_path / "out.mp4")
    assert said is not None
    assert said["synthetic"] is True
    assert (said["render_id"], said["model_id"], said["source_sha256"]) == (row["render_id"], "tiny", before)
    assert file_sha256(talking) == before
    checked = verify_render(tmp_path / "out.mp4", config)
    assert (checked.valid, checked.known, checked.facts["render_id"]) == (True, "this root", row["render_id"])
    assert [entry["sha256"] for entry in checked.ingredients] == [before, file_sha256(track)]
    assert next(what for what, _, _ in told) == "finding faces"
    assert list(dict.fromkeys(what for what, _, _ in told)) == ["finding faces", "rendering", "writing"]
    assert told[-1] == ("writing", FRAMES, FRAMES)
    assert not list(tmp_path.glob(".*.partial"))


def test_frames_without_a_face_pass_and_a_face_that_returns_is_picked_up(
    mixed: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    out = tmp_path / "out.mp4"
    row = dub_video(mixed, track, out, config, dubber)
    assert row["frames"] == 34
    assert row["faces"] == 2
    times = media.frame_times(mixed)
    assert np.abs(media.frame_times(out) - times).max() < 1e-4
    apart = [
        float(np.abs(a.astype(int) - b).max())
        for (_, _, a), (_, _, b) in zip(media.iter_frames(mixed), media.iter_frames(out), strict=True)
    ]
    assert max(apart[13:21]) < 16
    assert min(apart[2:10] + apart[24:32]) > 40


def test_the_given_track_is_in_the_output_in_its_place(
    talking: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    clicks = np.zeros(round(1.2 * 16000), np.float32)
    clicks[8000:8040] = 0.9
    track = media.write_audio(tmp_path / "click.wav", clicks)
    dub_video(talking, track, tmp_path / "out.mp4", config, dubber)
    heard = media.read_audio(tmp_path / "out.mp4")
    assert abs(int(np.argmax(np.abs(heard))) - 8020) < 0.02 * 16000


def test_the_same_settings_give_the_same_picture(
    talking: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    rows = [dub_video(talking, track, tmp_path / name, config, dubber) for name in ("a.mp4", "b.mp4")]
    assert rows[0]["render_id"] == rows[1]["render_id"]
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()  # its signature too
    pairs = zip(media.iter_frames(tmp_path / "a.mp4"), media.iter_frames(tmp_path / "b.mp4"), strict=True)
    assert all(np.array_equal(a, b) for (_, _, a), (_, _, b) in pairs)


def test_nothing_to_dub_is_rejected_and_leaves_no_file(
    track: Path, talking: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    empty = media.write_video(tmp_path / "noise.mp4", grey_noise(12), 25)
    with pytest.raises(InputRejected, match="no face"):
        dub_video(empty, track, tmp_path / "out.mp4", config, dubber)
    silent = media.write_video(tmp_path / "silent.mp4", grey_noise(12), 25)
    with pytest.raises(InputRejected, match="audio"):
        dub_video(talking, silent, tmp_path / "out.mp4", config, dubber)
    (tmp_path / "text.mp4").write_text("no film " * 100)
    with pytest.raises(InputFailed, match="text"):
        dub_video(tmp_path / "text.mp4", track, tmp_path / "out.mp4", config, dubber)
    assert not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob(".*.partial"))


def test_the_render_id_is_made_of_everything_that_shapes_the_output(config: Config) -> None:
    key = render_key("v", "a", config, "m")
    assert key == render_key("v", "a", config.with_({"root": "/x", "train.steps": 5}), "m")
    others = [
        render_key("w", "a", config, "m"), render_key("v", "b", config, "m"), render_key("v", "a", config, "n"),
        render_key("v", "a", config, "m", "sad"), render_key("v", "a", config, "m", None, "rttm"),
        render_key("v", "a", config.with_({"render.seed": 9}), "m"),
    ]  # fmt: skip
    assert len({key, *others}) == 7


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_footage_goes_through_whole(shared_dir: Path, tmp_path: Path, config: Config, tiny_model: Path) -> None:
    """Four shots, a strict profile, an audience, a picture that starts 0.85 s late: only the singer changes."""
    from tasks.dubber import load_dubber

    video = shared_dir / "media" / "video" / "face_recognition__short_hamilton_clip.mp4"
    audio = shared_dir / "media" / "audio" / "latentsync__demo1_audio.wav"
    pack = str(shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx")
    # Every third frame is looked at: the test is about the way through, not about the detector.
    real = config.with_({"faces.pack": pack, "tracks.detect_every": 3})
    row = dub_video(video, audio, tmp_path / "out.mp4", real, load_dubber(tiny_model, real))
    assert row["frames"] == 275
    assert row["outside_psnr_db"] >= 40
    assert np.allclose(media.frame_times(tmp_path / "out.mp4"), media.frame_times(video), atol=1e-4)
    changed = [
        np.abs(a.astype(int) - b).max() > 40
        for (_, _, a), (_, _, b) in zip(media.iter_frames(video), media.iter_frames(tmp_path / "out.mp4"), strict=True)
    ]
    assert not any(changed[21:82])
    assert sum(changed[84:209]) > 110
    assert not any(changed[212:])
