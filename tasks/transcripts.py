"""What is said in a clip, and what whisper's encoder hears of it; only where a checkpoint is configured."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from models.transcriber import Transcriber


def read_words(
    audio: NDArray[Any],
    transcriber: Transcriber | None,
    given: str | None = None,
    given_language: str | None = None,
    speaks: bool = True,
) -> dict[str, Any]:
    """The columns transcript, language, speech_features (bytes of float16 [F, speech_width]) and speech_width.

    Args:
        audio: float [N] at 16 kHz, in sync with the picture.
        transcriber: None where none is configured: then there is only what is given.
        given, given_language: text and language of corpus or manifest; they win over what is heard.
        speaks: whether voice activity was found; of a clip without, whisper would make words up.
    """
    found: dict[str, Any] = {}
    if given is not None and given.strip():
        found["transcript"] = given.strip()
    if given_language:
        found["language"] = given_language
    if transcriber is None:
        return found
    if "transcript" not in found and speaks:
        heard = transcriber.transcribe(audio, given_language)
        found |= {"transcript": heard.text, "language": heard.language or None}
    elif "transcript" not in found:
        found["transcript"] = ""
    features = transcriber.features(audio)
    return found | {"speech_features": features.tobytes(), "speech_width": transcriber.width}
