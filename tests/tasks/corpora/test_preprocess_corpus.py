"""A corpus through all steps: speakers, labels and licences in the rows, and a row for every name that is wrong."""

from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.shards import read_rows
from tasks.config import Config
from tasks.preprocess import preprocess_many
from tasks.probe import find_sources

FRAMES = 26


@pytest.fixture(scope="module")
def corpus(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two takes of MEAD's naming, cut from the shipped library; their sound lies apart, as the corpus keeps it."""
    place = tmp_path_factory.mktemp("MEAD")
    episode = library / "welcome.mp4"
    frames = [frame for _, _, frame in media.iter_frames(episode, end_s=2 * FRAMES / 25)]
    for part, (actor, label, level) in enumerate((("M003", "angry", 3), ("W009", "neutral", 1))):
        labels = f"{label}/level_{level}/001"
        video = place / actor / "video" / "front" / f"{labels}.mp4"
        sound = place / actor / "audio" / f"{labels}.wav"
        video.parent.mkdir(parents=True)
        sound.parent.mkdir(parents=True)
        media.write_video(video, frames[part * FRAMES : (part + 1) * FRAMES], 25)
        media.write_audio(sound, media.read_audio(episode, 16000, part * FRAMES / 25, (part + 1) * FRAMES / 25))
    (place / "M003" / "video" / "front" / "angry" / "level_3" / "take 2.mp4").write_bytes(b"strange")
    (place / "M003" / "audio" / "angry" / "level_3" / "002.wav").write_bytes(b"no picture")
    return place


def test_a_corpus_goes_through_all_steps(corpus: Path, config: Config) -> None:
    sources = find_sources([corpus])
    told: list[str] = []
    built = preprocess_many(sources, "set", config, on_row=lambda kind, row: told.append(row["uri"]))
    assert sorted(told) == sorted(source.uri for source in sources)
    rows = {Path(row["uri"]).relative_to(corpus).as_posix(): row for row in built.sources}
    assert len(rows) == len(sources) == 4
    strange = rows["M003/video/front/angry/level_3/take 2.mp4"]
    assert (strange["status"], strange["stage"], strange["measure"]) == ("rejected", "corpus", "name")
    assert "three digits" in strange["reason"]
    assert "picture is not there" in rows["M003/audio/angry/level_3/002.wav"]["reason"]
    clips = {clip["speaker"]: clip for clip in read_rows(built.folder) if clip["status"] == "ok"}
    assert set(clips) == {"mead:M003", "mead:W009"}
    angry, neutral = clips["mead:M003"], clips["mead:W009"]
    assert (angry["emotion"], angry["intensity"], angry["caption_source"]) == ("angry", 3, "label")
    assert "anger" in angry["caption"] and angry["caption"].startswith("A man")
    assert (neutral["emotion"], neutral["intensity"]) == ("neutral", 0)
    assert "non-commercial" in angry["licence"] and "actors" in angry["consent"]
    assert rows["M003/video/front/angry/level_3/001.mp4"]["audio_codec"]
    assert np.abs(np.frombuffer(angry["audio"], "<i2")).max() > 1000

    again = preprocess_many(find_sources([corpus]), "set", config)
    assert again.version == built.version


def test_another_sound_makes_another_clip(corpus: Path, config: Config, tmp_path: Path) -> None:
    (source,) = [entry for entry in find_sources([corpus]) if entry.speaker == "mead:W009"]
    place = tmp_path / "W009" / "video" / "front" / "neutral" / "level_1"
    place.mkdir(parents=True)
    (place / "001.mp4").write_bytes(Path(source.uri).read_bytes())
    (silent,) = preprocess_many(find_sources([tmp_path]), "set", config).sources
    assert silent["status"] == "rejected" and "sound" in silent["reason"]
    sound = tmp_path / "W009" / "audio" / "neutral" / "level_1" / "001.wav"
    sound.parent.mkdir(parents=True)
    sound.write_bytes(Path(source.sound).read_bytes())
    (heard,) = preprocess_many(find_sources([tmp_path]), "set", config).sources
    assert heard["status"] == "ok" and heard["source_id"] == silent["source_id"]
