"""A dub of footage that is stored in uncommon ways: as deep, turned, wide and odd as it was, only the face changed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import media
from storage.errors import InputRejected
from tasks.config import Config
from tasks.dub import dub_video
from tasks.dubber import Dubber
from tests.storage.footage import make

FRAMES = 16
HDR10 = "log-level=none:crf=8:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
PICTURES: dict[str, dict[str, Any]] = {
    "hdr10.mp4": {
        "codec": "libx265", "pix_fmt": "yuv420p10le", "color": (1, 9, 9, 16), "options": {"x265-params": HDR10},
    },
    "turned_prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "rotation": (90, False, False)},
    "odd_444.mp4": {"pix_fmt": "yuv444p", "size": (383, 215)},
    "wide_fields.mp4": {"sar": Fraction(4, 3), "options": {"x264-params": "tff=1"}},
}  # fmt: skip


def footage(library: Path, name: str) -> list[np.ndarray]:
    """Faces upright after the film's rotation."""
    frames = [frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=FRAMES / 25)][:FRAMES]
    if "rotation" in PICTURES[name]:
        return [np.rot90(frame, -1) for frame in frames]
    width, height = PICTURES[name].get("size", (384, 216))
    return [frame[:height, :width] for frame in frames]


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_dub_keeps_the_kind_of_picture(
    name: str, library: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    frames = footage(library, name)
    size = frames[0].shape[1], frames[0].shape[0]
    source = make(tmp_path / name, FRAMES, pictures=frames, **(PICTURES[name] | {"size": size}))
    out = tmp_path / f"out{source.suffix}"
    row = dub_video(source, track, out, config, dubber)
    assert row["outside_psnr_db"] >= 40
    assert row["frames"] == FRAMES
    before, after = media.probe(source).video, media.probe(out).video
    assert before is not None
    assert after is not None
    for kept in ("pix_fmt", "width", "height", "sar", "matrix", "color_space", "color_primaries", "color_trc"):
        assert getattr(after, kept) == getattr(before, kept), kept
    pairs = zip(media.iter_frames(source), media.iter_frames(out), strict=True)
    changed = [float(np.abs(a.astype(int) - b).max()) > 40 for (_, _, a), (_, _, b) in pairs]
    assert sum(changed) >= FRAMES - 3


def test_what_cannot_be_kept_costs_no_work(
    library: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    frames = footage(library, "hdr10.mp4")[:4]
    deep = make(tmp_path / "deep.mkv", 4, size=(384, 216), pictures=frames, codec="ffv1", pix_fmt="yuv444p16le")
    told: list[str] = []
    with pytest.raises(InputRejected, match="16 bits"):
        dub_video(
            deep, track, tmp_path / "out.mp4", config, dubber, progress=lambda what, done, total: told.append(what)
        )
    assert told == []
    assert not (tmp_path / "out.mp4").exists()
