"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song (Livingstone and Russo, PLoS ONE 13(5), 2018;
zenodo.org/records/1188976).

    Actor_01/01-01-06-02-01-01-01.mp4

Seven numbers: modality (01 picture and sound, 02 picture alone, 03 sound alone), channel (01 speech, 02 song), emotion,
intensity (01 normal, 02 strong; neutral is never strong), statement, repetition, actor (odd: men, even: women).
24 actors with 60 spoken takes each. The three modalities are the same take, so 02 and 03 are used only where 01 is not
there. Licence: CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.corpora.reading import FILM, SILENT, SOUND, Layout, Piece, StrangeName
from tasks.sources import AUDIO_SUFFIXES

EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgusted",
    "08": "surprised",
}  # fmt: skip
"""Their labels → ours. `calm` has no counterpart among our eight: it stays a free word, which the text encoder reads.
They have no contempt."""
INTENSITIES = {"01": 2, "02": 3}
"""normal is a clear expression, so 2; strong is 3. They have no weak one."""
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
KINDS = {"01": FILM, "02": SILENT, "03": SOUND}

_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
_FOLDER = re.compile(r"(?:.*_)?Actor_(\d\d)(?:_.*)?", re.IGNORECASE)


def parse(path: Path) -> Piece:
    """A path's labels."""
    name = _NAME.fullmatch(path.stem)
    if name is None:
        raise StrangeName(f"{path.name} is not seven numbers of two digits")
    modality, channel, emotion, intensity, statement, repetition, actor = name.groups()
    kind = KINDS.get(modality)
    if kind is None or (kind == SOUND) != (path.suffix.lower() in AUDIO_SUFFIXES):
        raise StrangeName(f"modality {modality} does not go with {path.suffix}")
    for what, code, known in (
        ("channel", channel, ("01", "02")), ("emotion", emotion, EMOTIONS), ("intensity", intensity, INTENSITIES),
        ("statement", statement, STATEMENTS), ("repetition", repetition, ("01", "02")),
    ):  # fmt: skip
        if code not in known:
            raise StrangeName(f"there is no {what} {code}")
    if emotion == "01" and intensity == "02":
        raise StrangeName("neutral has no strong intensity")
    if not 1 <= int(actor) <= 24:
        raise StrangeName(f"there is no actor {actor}")
    folder = _FOLDER.fullmatch(path.parent.name)
    if folder is not None and folder[1] != actor:
        raise StrangeName(f"actor {actor} in the folder of actor {folder[1]}")
    label = EMOTIONS[emotion]
    said = {
        "speaker": f"ravdess:{actor}", "gender": "man" if int(actor) % 2 else "woman", "emotion": label,
        "text": STATEMENTS[statement], "intensity": {"neutral": 0, "calm": None}.get(label, INTENSITIES[intensity]),
    }  # fmt: skip
    sung = "sung, not spoken: captions and sync are for speech" if channel == "02" else ""
    return Piece((channel, emotion, intensity, statement, repetition, actor), kind, said, left_out=sung)


LAYOUT = Layout(
    "ravdess",
    licence="CC BY-NC-SA 4.0",
    consent="professional actors recorded for the corpus (Livingstone and Russo 2018)",
    parse=parse,
    takes_each=60,
)
