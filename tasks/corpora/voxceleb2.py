"""VoxCeleb2 (Chung, Nagrani and Zisserman, Interspeech 2018; robots.ox.ac.uk/~vgg/data/voxceleb).

    dev/mp4/id00012/21Uxsk56VDQ/00001.mp4      dev/aac/id00012/21Uxsk56VDQ/00001.m4a

Speaker, YouTube video, utterance. Pictures (mp4) and sounds (aac) are published apart. 5,994 speakers are in dev, 118
others in test, and who is in test is tested on here, too. Ids from id10001 on are VoxCeleb1's. No emotion labels.
Licence: CC BY 4.0; the copyright of the videos remains with their owners.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.corpora.reading import FILM, SOUND, Layout, Piece, StrangeName
from tasks.sources import AUDIO_SUFFIXES

_SPEAKER = re.compile(r"id(\d{5})")
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_UTTERANCE = re.compile(r"\d{5}")


def parse(path: Path) -> Piece:
    """A path's speaker."""
    if len(path.parts) < 4:
        raise StrangeName(f"{path.name} lies in no folder SPEAKER/VIDEO")
    *above, speaker, video, _ = path.parts
    found = _SPEAKER.fullmatch(speaker)
    if not _UTTERANCE.fullmatch(path.stem):
        raise StrangeName(f"{path.name} is no number of five digits")
    if not _VIDEO.fullmatch(video):
        raise StrangeName(f"folder {video} is no video of eleven characters")
    if found is None:
        raise StrangeName(f"folder {speaker} is no speaker, as id00012")
    if int(found[1]) > 10000:
        raise StrangeName(f"{speaker} is a speaker of VoxCeleb1")
    sound = path.suffix.lower() in AUDIO_SUFFIXES
    said = {"speaker": f"voxceleb2:{speaker}", "split": "test" if "test" in above[-2:] else None}
    return Piece((speaker, video, path.stem), SOUND if sound else FILM, said)


LAYOUT = Layout(
    "voxceleb2",
    licence="CC BY 4.0; videos: their owners'",
    consent="none recorded: public videos",
    parse=parse,
    sound_apart=True,
)
