"""HDTF, the High-Definition Talking Face dataset (Zhang et al., CVPR 2021; github.com/MRzzm/HDTF).

    WDA_BarackObama_000.mp4    WRA_AdamKinzinger2_001.mp4    RD_Radio11_000.mp4    or, by the README, Radio11_0.mp4

The authors publish tables of video addresses and times (WDA, WRA and RD_*.txt) and ask for clips called by video name
and clip index; universome's download script, which most copies come from, puts the table's name before. In WDA and WRA
(weekly addresses) a video is called by the speaker, with a digit where there are several of one. In RD it is only
counted: who speaks is not said, one person may be in two videos, so none of RD may be tested on. No emotion labels.
Licence: CC BY 4.0, for tables and annotation; the videos are their owners'.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.corpora.reading import FILM, Layout, Piece, StrangeName
from tasks.sources import AUDIO_SUFFIXES

ALIASES = {"WhipJimClyburn": "JamesClyburn"}
"""People who are in the tables under two names."""

_PREFIXED = re.compile(r"(RD|WDA|WRA)_([A-Za-z][A-Za-z-]*?)(\d*)_(\d{1,3})")
_BARE = re.compile(r"()([A-Z][A-Za-z-]*?)(\d*)_(\d{1,3})")
_WHOLE = re.compile(r"(?:(?:RD|WDA|WRA)_)?[A-Z][A-Za-z-]*\d*")


def parse(path: Path) -> Piece:
    """A path's speaker."""
    name = _PREFIXED.fullmatch(path.stem) or _BARE.fullmatch(path.stem)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise StrangeName("a sound; the corpus is videos, with their sound in them")
    if name is None and _WHOLE.fullmatch(path.stem):
        raise StrangeName("a whole video: cut it into clips by the times in xx_annotion_time.txt")
    if name is None:
        raise StrangeName(f"{path.name} is not TABLE_VIDEO_INDEX, as WDA_BarackObama_000")
    table, person, digits, index = name.groups()
    video = person + digits
    unnamed = table == "RD" or person == "Radio"
    said = {
        "speaker": f"hdtf:{video if unnamed else ALIASES.get(person, person)}",
        "split": "train" if unnamed else None,
    }
    return Piece((video, str(int(index))), FILM, said, series=video, number=int(index), certain=bool(table))


LAYOUT = Layout(
    "hdtf",
    licence="CC BY 4.0 (annotation); videos: their owners'",
    consent="none recorded: public videos",
    parse=parse,
)
