"""Tracks of sound: speech found alike whatever the length, several tracks added without drift or clipping."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import InputRejected
from tasks import voices
from tasks.speech import voice_activity
from tasks.voices import mix_tracks, pauses, speech_spans


def test_a_long_track_is_heard_as_if_it_were_heard_at_once(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = media.read_audio(library / "welcome.dub.wav", 16000)
    long = np.concatenate([sound, np.zeros(12_000, np.float32), sound])
    path = media.write_audio(tmp_path / "long.wav", long)
    monkeypatch.setattr(voices, "_BLOCK_S", 5.0)
    found, whole = speech_spans(path), voice_activity(long)
    assert len(long) > 2 * 5.0 * 16000
    times = np.arange(0, len(long) / 16000, 0.02)
    agree = voices.inside(found, times) == voices.inside(whole, times)
    assert agree.mean() > 0.98
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))


def test_pauses_too_short_for_a_detector_are_found(library: Path, tmp_path: Path) -> None:
    sound = media.read_audio(library / "welcome.dub.wav", 16000)
    spans = voice_activity(sound)
    first = max(spans, key=lambda span: span[1] - span[0])
    middle = 0.5 * (first[0] + first[1])
    cut = round(middle * 16000)
    sound = np.concatenate([sound[:cut], np.zeros(1920, np.float32), sound[cut:]])
    path = media.write_audio(tmp_path / "cut.wav", sound)
    found = pauses(path, voice_activity(sound))
    assert any(start <= middle + 0.03 and end >= middle + 0.09 and end - start < 0.3 for start, end in found)


def test_the_sum_is_exact_as_long_as_the_longest_and_never_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    one, other = (rng.uniform(-0.4, 0.4, count).astype(np.float32) for count in (100_000, 70_001))
    paths = [media.write_audio(tmp_path / "a.wav", one), media.write_audio(tmp_path / "b.wav", other)]
    mixed = media.read_audio(mix_tracks(paths, tmp_path / "sum.wav"), 16000)
    assert len(mixed) == 100_000
    assert np.abs(mixed - (one + np.pad(other, (0, 29_999)))).max() < 2e-4
    loud = [media.write_audio(tmp_path / "c.wav", 2 * one), media.write_audio(tmp_path / "d.wav", 2 * one)]
    mixed = media.read_audio(mix_tracks(loud, tmp_path / "sum.wav"), 16000)
    assert 0.98 < np.abs(mixed).max() <= 1.0
    assert np.corrcoef(mixed, one)[0, 1] > 0.9999


def test_rates_and_channels_differ(tmp_path: Path) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 16000)).astype(np.float32)
    mono = media.write_audio(tmp_path / "mono.wav", tone)
    left = np.zeros((2, 72_000), np.float32)
    left[0, 48_000:48_010] = 0.9
    stereo = media.write_sound(tmp_path / "stereo.wav", [left], 48_000, 2)
    out = media.probe(mix_tracks([mono, stereo], tmp_path / "sum.wav"), need_video=False).audio[0]
    assert (out.rate, out.channels) == (48_000, 2)
    both = np.concatenate(list(media.iter_audio(tmp_path / "sum.wav", 48_000, channels=2)), axis=1)
    assert abs(int((both[0] - both[1]).argmax()) - 48_004) < 10


def test_a_film_without_sound_is_named(talking: Path, tmp_path: Path) -> None:
    frames = [frame for _, _, frame in media.iter_frames(talking, end_s=0.2)]
    silent = media.write_video(tmp_path / "silent.mp4", frames, 25)
    with pytest.raises(InputRejected, match=r"silent\.mp4"):
        mix_tracks([silent, silent], tmp_path / "sum.wav")
    assert not (tmp_path / "sum.wav").exists()
