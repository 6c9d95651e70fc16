"""Every real file at hand ends as the right row, or with the right reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.config import Config, load_config
from tasks.preprocess import preprocess_many
from tasks.probe import Source, find_sources, probe_source

SOUNDS = {  # rate, channels, seconds; all 16-bit PCM
    "echomimic__chunwang.wav": (24000, 1, 4.917),
    "echomimic__echomimic_en.wav": (24000, 1, 5.237),
    "hallo2__1.wav": (44100, 2, 7.5),
    "latentsync__demo1_audio.wav": (16000, 1, 9.6),
    "latentsync__demo3_audio.wav": (16000, 1, 18.56),
    "multitalk__1-man.WAV": (44100, 2, 8.522),
    "multitalk__1-woman.WAV": (44100, 2, 8.522),
    "multitalk__1.WAV": (44100, 2, 1.788),
    "multitalk__2.WAV": (44100, 2, 3.088),
}
STILLS = {  # width, height, faces, the measure that decides for each of them
    "echomimic__d.png": (884, 880, ("num_frames",)),
    "face_recognition__32bit.png": (626, 1200, ("num_frames",)),
    "face_recognition__biden.jpg": (970, 2204, ("num_frames",)),
    "face_recognition__obama.jpg": (910, 1137, ("num_frames",)),
    "face_recognition__obama2.jpg": (626, 1200, ("num_frames",)),
    "face_recognition__obama_partial_face.jpg": (491, 1137, ("face_inside",)),
    "face_recognition__two_people.jpg": (1126, 661, ("num_frames", "num_frames")),
    "hallo2__3.jpg": (979, 979, ("num_frames",)),
    "hallo2__5.jpg": (559, 559, ("num_frames",)),
    "hallo2__6.jpg": (624, 624, ("num_frames",)),
    "multitalk__multi1.png": (2560, 1440, ("num_frames", "num_frames")),
    "multitalk__multi3.png": (2146, 1324, ("num_frames", "yaw_deg")),
}
FILMS = {  # codec, width, height, rate, frames, first frame (s), duration (s)
    "face_recognition__short_hamilton_clip.mp4": ("h264", 640, 360, 29.97, 275, 0.852, 10.02),
    "latentsync__demo1_video.mp4": ("hevc", 1080, 1920, 25.0, 250, 0.0, 10.008),
    "latentsync__demo3_video.mp4": ("hevc", 1080, 1920, 30.0, 600, 0.0, 20.016),
}


@pytest.fixture(scope="module")
def sources(shared_dir: Path) -> dict[str, Source]:
    """All inputs below the folder of real media, by name."""
    return {Path(source.uri).name: source for source in find_sources([shared_dir / "media"])}


@pytest.fixture(scope="module")
def rows(sources: dict[str, Source]) -> dict[str, dict[str, Any]]:
    """What probing says of each."""
    config = load_config()
    return {name: probe_source(source, "real", config)[0] for name, source in sources.items()}


def test_all_media_are_inputs_and_nothing_else_is(sources: dict[str, Source]) -> None:
    assert set(sources) >= SOUNDS.keys() | STILLS.keys() | FILMS.keys()
    assert "MANIFEST.tsv" not in sources


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_alone_is_described_and_told_where_it_belongs(rows: dict[str, dict[str, Any]], name: str) -> None:
    row = rows[name]
    rate, channels, seconds = SOUNDS[name]
    assert (row["status"], row["measure"], row["value"]) == ("rejected", "video_tracks", 0)
    assert "no picture" in row["reason"] and "`audio`" in row["reason"]
    assert (row["container"], row["audio_codec"], row["audio_format"]) == ("wav", "pcm_s16le", "s16")
    assert (row["audio_rate"], row["audio_channels"]) == (rate, channels)
    assert row["duration_s"] == pytest.approx(seconds, abs=0.001)
    assert row["width"] is None and row["sha256"]


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_described(rows: dict[str, dict[str, Any]], name: str) -> None:
    row = rows[name]
    codec, width, height, rate, frames, start_s, seconds = FILMS[name]
    assert row["status"] == "ok", row["reason"]
    assert (row["video_codec"], row["audio_codec"], row["audio_rate"], row["audio_channels"]) == (
        codec,
        "aac",
        44100,
        2,
    )
    assert (row["width"], row["height"], row["num_frames"]) == (width, height, frames)
    assert row["fps"] == pytest.approx(rate, abs=0.01)
    assert row["start_s"] == pytest.approx(start_s, abs=0.001)
    assert row["duration_s"] == pytest.approx(seconds, abs=0.002)


@pytest.mark.parametrize("name", STILLS)
def test_a_still_is_described(rows: dict[str, dict[str, Any]], name: str) -> None:
    row = rows[name]
    assert (row["status"], row["width"], row["height"]) == ("ok", *STILLS[name][:2])
    assert (row["num_frames"], row["fps"], row["duration_s"], row["audio_codec"]) == (1, None, None, None)
    assert row["video_codec"] == ("png" if name.endswith("png") else "jpeg")


@pytest.mark.slow
def test_of_stills_and_sounds_every_face_is_measured_and_told_why_it_is_no_clip(
    shared_dir: Path, sources: dict[str, Source], config: Config
) -> None:
    config = config.with_({"faces.pack": str(shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx")})
    built = preprocess_many([sources[name] for name in (*STILLS, *SOUNDS)], "real", config)
    assert {Path(row["uri"]).name for row in built.sources} == STILLS.keys() | SOUNDS.keys()
    assert {row["status"] for row in built.sources} == {"rejected"}
    found: dict[str, list[str]] = {}
    for clip in built.clips:
        found.setdefault(Path(clip["source_uri"]).name, []).append(clip["measure"])
        if clip["measure"] == "num_frames":
            assert "motion" in clip["reason"] and "dubwright animate" in clip["reason"]
            assert clip["face_px"] > 36 and clip["blur"] > 0
    expected = {name: sorted(measures) for name, (_, _, measures) in STILLS.items()}
    expected |= {name: ["video_tracks"] for name in SOUNDS}
    assert {name: sorted(measures) for name, measures in found.items()} == expected
