"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset (Cao et al., IEEE Trans. Affective Computing 5(4),
2014; github.com/CheyneyComputerScience/CREMA-D).

    VideoFlash/1001_IEO_ANG_HI.flv      AudioWAV/1001_IEO_ANG_HI.wav      AudioMP3/1001_IEO_ANG_HI.mp3

Actor (1001 … 1091), sentence, emotion, level. Sentence IEO was spoken at three levels, the others at an unspecified one
(XX); an actor has 82 takes, five of the 91 have fewer. Films carry their own sound, and it is the one in sync, so the
two folders of sounds are companions. The README names four films that are spoilt; probing tells the rest. Licence: Open
Database License, contents under the Database Contents License.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.corpora.reading import FILM, SOUND, Layout, Piece, StrangeName
from tasks.sources import AUDIO_SUFFIXES

EMOTIONS = {
    "ANG": "angry", "DIS": "disgusted", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad",
}  # fmt: skip
"""Their labels → ours. All have a counterpart; they have no surprised and no contempt."""
LEVELS = {"LO": 1, "MD": 2, "HI": 3, "XX": None}
"""Their levels → our intensities; XX is unspecified."""
SENTENCES = {
    "IEO": "It's eleven o'clock.", "TIE": "That is exactly what happened.", "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.", "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.", "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.", "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.", "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}  # fmt: skip
MISLABELLED = {
    "1064_IEO_DIS_MD": "shows all emotions one after the other, says the corpus's README",
    "1076_MTI_SAD_XX": "shows an error picture, says the corpus's README",
}
"""Takes whose label is wrong, which nothing that measures would notice."""

_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")


def parse(path: Path) -> Piece:
    """A path's labels."""
    name = _NAME.fullmatch(path.stem)
    if name is None:
        raise StrangeName(f"{path.name} is not ACTOR_SENTENCE_EMOTION_LEVEL, as 1001_IEO_ANG_HI")
    actor, sentence, emotion, level = name.groups()
    if not 1001 <= int(actor) <= 1091:
        raise StrangeName(f"there is no actor {actor}")
    for what, code, known in (
        ("sentence", sentence, SENTENCES), ("emotion", emotion, EMOTIONS), ("level", level, LEVELS),
    ):  # fmt: skip
        if code not in known:
            raise StrangeName(f"there is no {what} {code}")
    sound = path.suffix.lower() in AUDIO_SUFFIXES
    said = {
        "speaker": f"crema-d:{actor}", "emotion": EMOTIONS[emotion], "text": SENTENCES[sentence],
        "intensity": 0 if emotion == "NEU" else LEVELS[level],
    }  # fmt: skip
    return Piece((path.stem,), SOUND if sound else FILM, said, left_out=MISLABELLED.get(path.stem, ""))


LAYOUT = Layout(
    "crema-d",
    licence="ODbL 1.0, contents DbCL 1.0",
    consent="actors recorded for the corpus (Cao et al. 2014)",
    parse=parse,
    takes_each=82,
)
