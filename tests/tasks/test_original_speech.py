"""Who speaks in the original: a talker with their own sound, nobody where the sound is another's or there is none."""

from pathlib import Path

import numpy as np
import pytest

from storage import media
from tasks.analysis import analyse
from tasks.config import Config
from tasks.experts import Experts, load_experts
from tasks.original_speech import who_spoke
from tasks.tracks import Track

SECONDS = 3.0


@pytest.fixture(scope="module")
def experts() -> Experts:
    from tasks.config import load_config

    return load_experts(load_config(overrides={"audio.text": "none", "audio.emotion": "none"}))


@pytest.fixture(scope="module")
def footage(library: Path) -> list[np.ndarray]:
    return [frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=SECONDS)]


def filmed(frames: list[np.ndarray], sound: np.ndarray, path: Path, experts: Experts, config: Config) -> list[Track]:
    media.write_video(path, frames, 25, sound)
    return analyse(path, media.probe(path), experts.faces, config).tracks


def test_lips_that_fit_the_sound_speak_whatever_the_offset_and_others_do_not(
    library: Path, footage: list[np.ndarray], tmp_path: Path, config: Config, experts: Experts
) -> None:
    assert experts.sync is not None
    own = media.read_audio(library / "welcome.mp4", 16000, 0.0, SECONDS)
    (track,) = filmed(footage, np.pad(own, (3200, 0))[: len(own)], tmp_path / "late.mp4", experts, config)
    found = who_spoke(tmp_path / "late.mp4", [track], experts.sync)
    assert found.told
    assert found.speaking[track.number].mean() > 0.6
    assert abs(found.speech[0][0] - 0.3) < 0.15, "speech is told on the clock of the pictures"
    foreign = media.read_audio(library / "news.dub.wav", 16000, 0.0, SECONDS)
    (track,) = filmed(footage, foreign, tmp_path / "foreign.mp4", experts, config)
    found = who_spoke(tmp_path / "foreign.mp4", [track], experts.sync)
    assert found.speaking[track.number].mean() < 0.2


def test_silence_is_nobodys(footage: list[np.ndarray], tmp_path: Path, config: Config, experts: Experts) -> None:
    assert experts.sync is not None
    tracks = filmed(footage[:30], np.zeros(19_200, np.float32), tmp_path / "hush.mp4", experts, config)
    found = who_spoke(tmp_path / "hush.mp4", tracks, experts.sync)
    assert found.speech == () and not found.told
    assert not any(said.any() for said in found.speaking.values())
