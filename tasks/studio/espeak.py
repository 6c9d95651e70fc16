"""libespeak-ng by ctypes: text to samples, with word and phoneme events.

espeak-ng is GPL and therefore an optional extra (`pip install 'dubwright[studio]'`), loaded only when something is
spoken.
The library keeps the state of its oscillators between utterances, so every utterance loads it afresh (8 ms): the same
request then gives the same samples whatever was said before. It is not thread safe; one lock guards it in a process.
"""

from __future__ import annotations

import _ctypes
import ctypes
import hashlib
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class MissingSpeech(ImportError):
    """espeakng-loader is not installed; `remedy` says how to get it."""

    remedy = "pip install 'dubwright[studio]'"

    def __init__(self) -> None:
        super().__init__(f"the studio speaks with espeak-ng, an optional extra (GPL-3.0): {self.remedy}")


class Settings(NamedTuple):
    """Words a minute, pitch and range 0..99, and the gap between words in 10 ms."""

    rate: int
    pitch: int
    range: int
    word_gap: int


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):  # espeak_EVENT of speak_lib.h
    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int), ("length",
        ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int), ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]  # fmt: skip


class Heard(NamedTuple):
    """An event: its kind, time in seconds, IPA symbol (phonemes), position and length in the text (words, from 1)."""

    kind: int
    at_s: float
    symbol: str
    position: int
    length: int


WORD, PHONEME = 1, 7
_AUDIO_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 2, 1, 2, 0x8000
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
_CHARS_UTF8, _END_PAUSE = 1, 0x1000
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_lock = threading.Lock()


def synthesise(text: str, voice: str, settings: Settings) -> tuple[npt.NDArray[np.int16], list[Heard], int]:
    """Samples int16 [N], events and the sample rate of `text`. MissingSpeech without the extra, ValueError for a
    voice.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingSpeech from error
    chunks: list[npt.NDArray[np.int16]] = []
    heard: list[Heard] = []

    def receive(wave: Any, count: int, events: Any) -> int:
        if wave and count:
            chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type:
            event = events[index]
            symbol = event.id.string.decode("utf-8", "ignore") if event.type == PHONEME else ""
            heard.append(Heard(event.type, event.audio_position / 1000, symbol, event.text_position, event.length))
            index += 1
        return 0

    with _lock:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            data = str(Path(espeakng_loader.get_data_path()).parent).encode()
            sample_rate = int(
                library.espeak_Initialize(_AUDIO_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT)
            )
            callback = _Callback(receive)
            library.espeak_SetSynthCallback(callback)
            seed = int.from_bytes(hashlib.blake2b(f"{voice} {text}".encode(), digest_size=3).digest(), "little")
            library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
            if library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ValueError(f"espeak-ng has no voice {voice!r}")
            values = ((_RATE, settings.rate), (_VOLUME, 90), (_PITCH, settings.pitch), (_RANGE, settings.range))
            for parameter, value in (*values, (_WORD_GAP, settings.word_gap)):
                library.espeak_SetParameter(parameter, value, 0)
            encoded = text.encode()
            library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _CHARS_UTF8 | _END_PAUSE, None, None)
            library.espeak_Synchronize()
            library.espeak_Terminate()
        finally:
            _ctypes.dlclose(library._handle)
    return (np.concatenate(chunks) if chunks else np.zeros(1, np.int16)), heard, sample_rate
