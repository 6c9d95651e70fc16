"""Whisper as a transcriber: a narrow checkpoint in whisper's own format, read without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import whisper

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint
from models.transcriber import Transcriber, load_transcriber
from tasks.transcripts import read_words

SPEECH = (0.1 * np.sin(np.arange(24_000) * 0.05) * (np.sin(np.arange(24_000) * 0.0015) > 0)).astype(np.float32)


def write_whisper(folder: Path, vocabulary: int = 51_865) -> Path:
    """A whisper checkpoint 16 wide: multilingual, random, with a context for text of 16 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    dims = whisper.model.ModelDimensions(80, 1500, 16, 2, 2, vocabulary, 16, 16, 2, 1)
    model = whisper.model.Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    torch.save({"dims": vars(dims), "model_state_dict": model.half().state_dict()}, folder / "narrow.pt")
    return folder / "narrow.pt"


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Transcriber:
    return load_transcriber(write_whisper(tmp_path_factory.mktemp("whisper")))


def test_words_language_and_features_of_a_clip(transcriber: Transcriber) -> None:
    found = read_words(SPEECH, transcriber)
    assert isinstance(found["transcript"], str)
    assert found["language"] in whisper.tokenizer.LANGUAGES
    features = np.frombuffer(found["speech_features"], np.float16).reshape(-1, found["speech_width"])
    assert features.shape == (75, 16)  # 1.5 s at 50 Hz
    assert np.isfinite(features).all() and features.std() > 0
    assert read_words(SPEECH, transcriber) == found


def test_what_the_corpus_says_wins(transcriber: Transcriber) -> None:
    found = read_words(SPEECH, transcriber, " Kids are talking by the door. ", "en")
    assert (found["transcript"], found["language"]) == ("Kids are talking by the door.", "en")
    assert found["speech_width"] == 16
    assert read_words(SPEECH, None, "Dogs", None) == {"transcript": "Dogs"}
    assert read_words(SPEECH, None) == {}


def test_without_speech_no_words_are_made_up(transcriber: Transcriber) -> None:
    assert read_words(np.zeros(8_000, np.float32), transcriber, speaks=False)["transcript"] == ""
    assert read_words(np.zeros(0, np.float32), transcriber)["speech_features"] == b""


def test_the_same_words_come_whatever_was_heard_before(transcriber: Transcriber) -> None:
    first = transcriber.transcribe(SPEECH)
    torch.manual_seed(99)
    transcriber.transcribe(SPEECH[::-1].copy())
    assert transcriber.transcribe(SPEECH) == first


def test_a_folder_or_a_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_whisper(tmp_path)
    assert load_transcriber(tmp_path).width == 16
    with pytest.raises(MissingCheckpoint, match=r"audio\.transcriber"):
        load_transcriber("tiny")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnusableCheckpoint, match="whisper checkpoint"):
        load_transcriber(path)
    with pytest.raises(UnusableCheckpoint, match="51864"):
        load_transcriber(write_whisper(tmp_path / "encoder", vocabulary=64))
