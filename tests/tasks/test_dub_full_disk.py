"""A dub whose disk runs full stops with the reason, leaves no half of a film, and goes on once there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import media
from storage.errors import StorageFull
from tasks.config import Config
from tasks.dub import dub_video
from tasks.dubber import Dubber
from tests.storage.test_media_full_disk import noise, room_for


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.6])
def test_a_full_disk_stops_a_dub_which_then_goes_on(
    share: float, talking: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    """At a fiftieth of the file what lies between does not fit either; at half of it only the film does not."""
    frames = [frame.copy() for _, _, frame in media.iter_frames(talking, end_s=0.5)]
    for frame, grain in zip(frames, noise(len(frames)), strict=True):
        frame[:64, :96] = grain  # a film larger than what lies between
    film = media.write_video(tmp_path / "film.mp4", frames, 25)
    whole = tmp_path / "whole.mp4"
    dub_video(film, track, whole, config, dubber)
    size = whole.stat().st_size

    out, told = tmp_path / "out.mp4", []
    other = config.with_({"root": str(tmp_path / "other")})
    with room_for(round(size * share)), pytest.raises(StorageFull, match="full"):
        dub_video(film, track, out, other, dubber)
    assert not out.exists()
    assert not list(tmp_path.rglob("*.partial"))
    row = dub_video(film, track, out, other, dubber, progress=lambda what, done, total: told.append(what))
    assert row["status"] == "ok"
    assert ("finding faces" in told) == (share < 0.1)
    known = zip(media.iter_frames(whole), media.iter_frames(out), strict=True)
    assert all((a == b).all() for (_, _, a), (_, _, b) in known)
