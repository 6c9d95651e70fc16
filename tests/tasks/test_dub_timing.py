"""Time is exact: whatever the rate, the start and the tracks of a film, its dub has the same frames at the same times,
and the new sound where it belongs, at the start and at the end. Each case is a file that goes through the whole dub.

``pytest tests/tasks/test_dub_timing.py -s`` prints the figures as a table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import media
from tasks.config import Config
from tasks.dub import dub_video
from tasks.dubber import Dubber
from tests.storage.footage import clicks, make, stamps, subtitle_texts, write_sound

RATE = 48000
WINDOW_S, SEARCH_S = 0.3, 0.1
ALLOWED_S = 0.020


@dataclass(frozen=True)
class Case:
    """A film and a track.

    how: arguments of `make`. frames: of the film. track_s: length of the track; None: as long as the film.
    layout, rate: of the track. suffix: of input and output. settings: of the dub. held: frames more in the output.
    """

    how: dict[str, Any] = field(default_factory=dict)
    frames: int = 30
    suffix: str = ".mp4"
    track_s: float | None = None
    layout: str = "mono"
    rate: int = 16000
    settings: dict[str, Any] = field(default_factory=dict)
    held: int = 0
    said: str = ""


def at(rate: Fraction | int, base: int) -> dict[str, Any]:
    return {"rate": Fraction(rate), "base": Fraction(1, base)}


UNEVEN = [int(tick) for tick in np.cumsum([0, *([400, 512, 700, 512, 300] * 6)])][:30]
CASES = {
    "23.976 fps": Case(at(Fraction(24000, 1001), 24000)),
    "24 fps": Case(at(24, 12288)),
    "25 fps": Case(at(25, 12800)),
    "29.97 fps": Case(at(Fraction(30000, 1001), 30000)),
    "30 fps": Case(at(30, 15360)),
    "50 fps": Case(at(50, 12800), 40),
    "59.94 fps": Case(at(Fraction(60000, 1001), 60000), 40),
    "variable rate": Case({"pts": UNEVEN}),
    "variable rate, mkv": Case({"pts": UNEVEN}, suffix=".mkv"),
    "late video": Case({"start": 6400}),
    "late audio": Case({"sound_start_s": 0.4}),
    "track 2 s too long": Case(track_s=3.2, said="2.00 s longer than the picture: the rest was left out"),
    "the same, held, 29.97 fps": Case(
        at(Fraction(30000, 1001), 30000), track_s=3.003, settings={"render.when_longer": "hold"}, held=60,
        said="its last frame is held",
    ),
    "track 2 s too short": Case(frames=65, track_s=0.6, said="2.00 s before the picture: silence follows"),
    "3 tracks, titles, chapters": Case({"subtitles": "mov_text", "chapters": True}),
    "the same, mkv": Case({"subtitles": "subrip", "chapters": True}, suffix=".mkv"),
    "5.1, 48 kHz": Case(layout="5.1", rate=48000),
    "stereo, 44.1 kHz, mov": Case(layout="stereo", rate=44100, suffix=".mov"),
}  # fmt: skip


@pytest.fixture(scope="module")
def face(library: Path) -> list[np.ndarray]:
    return [frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=2.7)]


@pytest.fixture(scope="module")
def speech(library: Path) -> np.ndarray:
    """float32 [n] at 48 kHz, audible from its first to its last sample."""
    sound = media.read_audio(library / "welcome.dub.wav", RATE, 0.3, 4.0)
    return sound + np.random.default_rng(0).normal(0, 0.01, len(sound)).astype(np.float32)


def lag_s(track: np.ndarray, heard: np.ndarray, start_s: float) -> float:
    """By how much later than in `track` the stretch that begins at `start_s` is heard; s."""
    count, reach = round(WINDOW_S * RATE), round(SEARCH_S * RATE)
    first = round(start_s * RATE)
    sought = track[first : first + count]
    around = np.pad(heard, reach)[first : first + count + 2 * reach]
    around = np.pad(around, (0, count + 2 * reach - len(around)))
    size = 1 << (len(around) + count - 1).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(sought, size)), size)[: 2 * reach + 1]
    best = int(likeness.argmax())
    stretch = around[best : best + count]
    assert float(likeness[best] / np.linalg.norm(sought) / max(np.linalg.norm(stretch), 1e-9)) > 0.8
    return (best - reach) / RATE


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_dub_keeps_time(
    name: str, face: list[np.ndarray], speech: np.ndarray, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    case = CASES[name]
    film = make(
        tmp_path / f"film{case.suffix}", case.frames, size=(384, 216), pictures=face[: case.frames],
        sounds=[clicks(1.0, [0.1 * number]) for number in (1, 2, 3)[: 3 if case.how.get("chapters") else 1]],
        **case.how,
    )  # fmt: skip
    base, ticks = stamps(film)
    before = media.probe(film)
    assert before.video is not None
    end_s = before.video.start_s + before.video.duration_s
    seconds = case.track_s or end_s
    track = write_sound(tmp_path / "track.wav", speech[: round(seconds * RATE)], case.rate, case.layout)

    out = tmp_path / f"out{case.suffix}"
    row = dub_video(film, track, out, config.with_(case.settings), dubber)
    heard = media.read_audio(out, RATE)
    known = media.read_audio(track, RATE)
    audible = min(seconds, end_s + case.held * float(1 / before.video.fps))
    start_lag, end_lag = lag_s(known, heard, 0.0), lag_s(known, heard, audible - WINDOW_S)
    base_out, ticks_out = stamps(out)
    shifts = [abs(a * base - b * base_out) for a, b in zip(ticks, ticks_out, strict=False)]
    sys.stdout.write(
        f"\n{name:27} frames {len(ticks):3} -> {len(ticks_out):3}   stamps within {float(max(shifts)) * 1e3:.3f} ms"
        f"   sound {start_lag * 1e3:+.2f} ms at start, {end_lag * 1e3:+.2f} ms at end   {row['reason'] or ''}"
    )

    after = media.probe(out)
    assert after.video is not None
    assert row["frames"] == len(ticks_out) == len(ticks) + case.held
    assert max(shifts) == 0
    assert after.video.start_s == before.video.start_s
    assert after.video.fps == pytest.approx(before.video.fps, rel=1e-3 if case.held else 1e-9)
    assert abs(start_lag) <= ALLOWED_S
    assert abs(end_lag) <= ALLOWED_S
    assert case.said in (row["reason"] or "")
    assert case.said or not row["reason"]
    if case.held:
        gaps = np.diff([float(tick * base_out) for tick in ticks_out[len(ticks) - 1 :]])
        assert gaps == pytest.approx(float(1 / before.video.fps), abs=float(base_out))
        assert after.duration_s == pytest.approx(seconds, abs=0.03)
        *_, (_, _, last), (_, _, held) = media.iter_frames(out)
        assert np.abs(last.astype(int) - held).mean() < 1
    else:
        assert after.duration_s == pytest.approx(before.duration_s, abs=0.03)
    assert after.audio[0].layout.replace("(side)", "") == case.layout
    assert after.audio[0].rate == (case.rate if case.rate > 16000 else 48000)
    if case.how.get("chapters"):
        assert [one.language for one in after.audio] == ["eng", "deu", "fra"]
        assert after.chapters == 2
        assert [time for time, _ in subtitle_texts(out)] == pytest.approx([0.1, 0.35, 0.6], abs=0.002)
    if case.track_s and case.track_s < end_s:
        assert np.abs(heard[round((case.track_s + 0.05) * RATE) :]).max() < 0.01
