"""MEAD, the Multi-view Emotional Audio-visual Dataset (Wang et al., ECCV 2020; wywu.github.io/projects/MEAD).

    M003/video/front/angry/level_1/001.mp4      M003/audio/angry/level_1/001.m4a

Sixty actors (M: men, W: women), seven cameras, eight emotions at three levels; neutral has level_1 only. The sound of
a take lies beside the pictures and is shared by all cameras. Some actors' videos are packed in two parts, so that a
number stands before or in place of `video` (W021); what counts are the folders next to the file. The terms of use in
the authors' repository (uniBruce/Mead) allow non-commercial research.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.corpora.reading import FILM, SOUND, Layout, Piece, StrangeName
from tasks.sources import AUDIO_SUFFIXES

EMOTIONS = {
    "angry": "angry", "contempt": "contempt", "disgusted": "disgusted", "fear": "fearful", "happy": "happy",
    "neutral": "neutral", "sad": "sad", "surprised": "surprised",
}  # fmt: skip
"""Their labels (folder names) → ours. All have a counterpart; their level_1 … level_3 are our intensities 1 … 3."""
VIEWS = ("front", "left_30", "left_60", "right_30", "right_60", "top", "down")

_SPEAKER = re.compile(r"([MW]\d{3})(?:_\w+)?")
_LEVEL = re.compile(r"level_([123])")
_NUMBER = re.compile(r"\d{3}")


def parse(path: Path) -> Piece:
    """A path's labels."""
    if len(path.parts) < 4:
        raise StrangeName(f"{path.name} lies in no folder CAMERA/EMOTION/LEVEL")
    *above, emotion, level, _ = path.parts
    sound = path.suffix.lower() in AUDIO_SUFFIXES
    named = _LEVEL.fullmatch(level)
    if not _NUMBER.fullmatch(path.stem):
        raise StrangeName(f"{path.name} is no number of three digits")
    if named is None:
        raise StrangeName(f"folder {level} is none of level_1, level_2, level_3")
    if emotion not in EMOTIONS:
        raise StrangeName(f"folder {emotion} is none of {', '.join(EMOTIONS)}")
    if emotion == "neutral" and level != "level_1":
        raise StrangeName(f"neutral has no {level}")
    view = "" if sound else above[-1]
    if not sound and view not in VIEWS:
        raise StrangeName(f"folder {view} is none of the cameras {', '.join(VIEWS)}")
    speaker = next((found[1] for part in reversed(above) if (found := _SPEAKER.fullmatch(part))), None)
    if speaker is None:
        raise StrangeName("no folder above it is called by an actor (M003, W009, …)")
    said = {
        "speaker": f"mead:{speaker}", "gender": "woman" if speaker[0] == "W" else "man", "emotion": EMOTIONS[emotion],
        "intensity": 0 if emotion == "neutral" else int(named[1]),
    }  # fmt: skip
    series = "" if sound else f"{speaker} {view} {emotion} {level}"
    take = (speaker, emotion, level, path.stem)
    return Piece(take, SOUND if sound else FILM, said, view, series, int(path.stem))


LAYOUT = Layout(
    "mead",
    licence="MEAD terms of use: non-commercial research",
    consent="actors recorded for the corpus (Wang et al. 2020)",
    parse=parse,
    sound_apart=True,
)
