"""Sound stands on the same timeline as the picture, to the sample."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storage import media
from storage.errors import InputFailed, InputRejected
from tests.storage.footage import clicks, first_click, make, scratch

CLICKS = (0.25, 1.0, 1.8125)
CODECS = {
    "aac.mp4": "aac",
    "opus.mkv": "libopus",
    "pcm.mov": "pcm_s16le",
    "mp3.mkv": "libmp3lame",
    "flac.mkv": "flac",
    "aac.ts": "aac",
}


@cache
def film(name: str, late: float = 0.0) -> Path:
    path = scratch() / name
    base = Fraction(1, 90000) if name.endswith("ts") else Fraction(1, 12800)
    return make(path, frames=50, base=base, sounds=[clicks(2, CLICKS)], sound_codec=CODECS[name], sound_start_s=late)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_click_is_where_it_was(name: str, rate: int) -> None:
    sound = media.read_audio(film(name), rate)
    tolerance = 0.025 if name.endswith("ts") else 0.002  # a transport stream does not say how much is priming
    for time in CLICKS:
        assert first_click(sound, rate, time - 0.1) == pytest.approx(time, abs=tolerance)


@pytest.mark.parametrize("late", [0.04, 0.5])
@pytest.mark.parametrize("name", ["aac.mp4", "pcm.mov", "opus.mkv"])
def test_a_late_track_is_padded(name: str, late: float) -> None:
    sound = media.read_audio(film(name, late), 16000)
    assert first_click(sound, 16000) == pytest.approx(CLICKS[0] + late, abs=0.002)
    assert not sound[: int(16000 * (late - 0.01))].any()


@settings(deadline=None, max_examples=50)
@given(name=st.sampled_from(["aac.mp4", "opus.mkv", "pcm.mov"]), start=st.floats(0, 2.2), length=st.floats(0.01, 1.0))
def test_a_range_is_cut_out_of_the_whole(name: str, start: float, length: float) -> None:
    assume(all(abs(time - edge) > 0.01 for time in CLICKS for edge in (start, start + length)))  # no click is cut
    rate = 16000
    whole = media.read_audio(film(name), rate)
    part = media.read_audio(film(name), rate, start, start + length)
    assert len(part) == round((start + length - start) * rate)
    first = round(start * rate)
    expected = np.pad(whole, (0, 80000))[first : first + len(part)]
    loud = [time for time in CLICKS if start + 0.005 < time < start + length - 0.005]
    for time in loud:
        assert first_click(part, rate, max(0.0, time - start - 0.05)) == pytest.approx(time - start, abs=0.002)
    assert np.abs(np.abs(part).sum() - np.abs(expected).sum()) < 0.2 * np.abs(expected).sum() + 4


@settings(deadline=None, max_examples=30)
@given(
    source=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]),
    target=st.sampled_from([8000, 16000, 44100, 48000]),
    seconds=st.floats(0.05, 3.0),
)
def test_resampling_keeps_length_and_place(source: int, target: int, seconds: float) -> None:
    count = int(seconds * source)
    time = np.arange(count) / source
    sound = (0.5 * np.sin(2 * np.pi * 440 * time) * np.hanning(count)).astype(np.float32)
    made = media.resample(sound, source, target)
    assert len(made) == round(count * target / source)
    expected = np.interp(np.arange(len(made)) / target, time, sound)
    assert np.abs(made - expected).max() < 0.03


def test_resampling_does_not_drift() -> None:
    """An hour at 44.1 kHz would drift by 100 ms with a rate that is wrong by 30 parts in a million."""
    rate, seconds = 44100, 300
    sound = clicks(seconds, [0.5, seconds - 0.5], rate)
    made = media.resample(sound, rate, 16000)
    assert len(made) == 16000 * seconds
    assert first_click(made, 16000) == pytest.approx(0.5, abs=0.0005)
    assert first_click(made, 16000, seconds - 1) == pytest.approx(seconds - 0.5, abs=0.0005)


def test_gaps_between_packets_stay_gaps(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (0.0, 2.0):
            frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 8000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, int(start * 16000), Fraction(1, 16000)
            container.mux(stream.encode(frame))
    sound = media.read_audio(path, 16000)
    assert len(sound) == 40000
    assert sound[:8000].min() > 0.2
    assert not sound[8010:31990].any()
    assert sound[32010:].min() > 0.2


def test_channels_are_mixed_without_clipping(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    loud = np.full(16000, 0.9, np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="stereo")
        both = (np.stack([loud, -loud / 3]) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(both.T.reshape(1, -1)), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
    assert media.read_audio(path, 16000) == pytest.approx(np.full(16000, 0.3), abs=1e-3)
    left_right = np.concatenate(list(media.iter_audio(path, 16000, channels=2)), axis=1)
    assert left_right[:, 100] == pytest.approx([0.9, -0.3], abs=1e-3)


@settings(deadline=None, max_examples=20)
@given(samples=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=3000))
def test_wav_round_trip(samples: list[float]) -> None:
    sound = np.array(samples, dtype=np.float32)
    path = scratch() / "a.wav"
    media.write_audio(path, sound, 16000)
    assert media.read_audio(path) == pytest.approx(sound, abs=1e-4)


def test_errors(tmp_path: Path) -> None:
    silent = make(tmp_path / "silent.mp4", frames=2)
    with pytest.raises(InputRejected, match="no audio track"):
        media.read_audio(silent)
    with pytest.raises(InputRejected, match="no audio track 3"):
        media.read_audio(film("aac.mp4"), track=3)
    with pytest.raises(InputFailed):
        media.read_audio(tmp_path / "none.wav")


def test_real_speech(shared_dir: Path) -> None:
    path = shared_dir / "media/audio/hallo2__1.wav"
    sound = media.read_audio(path)
    assert len(sound) / 16000 == pytest.approx(7.5, abs=0.01)
    assert 0.05 < np.abs(sound).max() <= 1


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [("a.m4a", "aac", "7.1"), ("a.mka", "libopus", "7.1"), ("a.m4a", "aac", "5.1"), ("a.wav", "pcm_s24le", "7.1")],
)
def test_sound_of_many_channels(tmp_path: Path, name: str, codec: str, layout: str) -> None:
    """Read in a process of its own: eight planes of samples used to take the reader's process down."""
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout=layout)
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24000) / 48000)
        samples = np.repeat(tone[:, None], stream.layout.nb_channels, axis=1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = 48000, 0
        for made in av.AudioResampler(format=stream.format, layout=layout, rate=48000).resample(frame):
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    code = f"from storage import media; print(media.read_audio({str(tmp_path / name)!r}, 16000, 0.1, 0.4).std())"
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert read.returncode == 0, read.stderr[-400:]
    assert float(read.stdout) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
