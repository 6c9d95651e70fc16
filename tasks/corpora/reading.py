"""From the tree of a corpus to inputs: every file is an input, part of one, or has a reason why it is neither."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.sources import AUDIO_SUFFIXES, VIDEO_SUFFIXES, Source

FILM, SILENT, SOUND = "film", "silent", "sound"
_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"))
_UNFINISHED = frozenset((".part", ".partial", ".crdownload", ".download", ".aria2", ".tmp", ".ytdl"))
_PIECE_OF_ARCHIVE = re.compile(r".*_part[a-z]{2}|.*\.(zip|7z|tar|rar)\.\d{2,3}|.*\.z\d\d", re.IGNORECASE)


class StrangeName(ValueError):
    """A path that does not follow its corpus's naming scheme; the message says where it leaves it."""


@dataclass(frozen=True)
class Piece:
    """One file of a corpus, as its path tells.

    Attributes:
        take: what the picture and the sound of one utterance share.
        kind: FILM (a picture, with its own sound unless the corpus keeps it apart), SILENT (the picture of a film
            again, without its sound) or SOUND.
        said: columns of `Source`: speaker, emotion, intensity, text, split, caption.
        view: which of several cameras; pictures of one take differ in it.
        series, number: files of one series are numbered one after the other, so that gaps show.
        certain: no other footage is called so; what a corpus is recognised by.
        left_out: why a file that is named as it should be is no input; empty for all others.
    """

    take: tuple[str, ...]
    kind: str
    said: dict[str, Any]
    view: str = ""
    series: str = ""
    number: int = 0
    certain: bool = True
    left_out: str = ""


@dataclass(frozen=True)
class Layout:
    """A corpus: how its paths are read, and what holds for all of it.

    Attributes:
        parse: path → `Piece`; raises `StrangeName`. It opens nothing.
        sound_apart: sounds lie in files of their own, which are taken instead of the film's track.
        takes_each: how many takes each speaker was recorded in, where that is the same for all; None otherwise.
    """

    name: str
    licence: str
    consent: str
    parse: Callable[[Path], Piece]
    sound_apart: bool = False
    takes_each: int | None = None

    def fits(self, path: Path) -> bool:
        """Whether a path follows the scheme, and no other footage is likely to be called so."""
        try:
            return self.parse(path).certain
        except StrangeName:
            return False


@dataclass
class Reading:
    """A tree, file by file: each is the uri of one source, or in `companions`, or in `passed`.

    Attributes:
        sources: inputs, and files left out (`Source.refused` says why), by path.
        companions: file → the input that it belongs to: its sound, or the same take in another form.
        passed: files that are no footage (tables, licences, hidden files) → what they are.
        missing: what the names that are there tell of others that are not, one line each.
    """

    layout: str
    sources: list[Source] = field(default_factory=list)
    companions: dict[Path, Path] = field(default_factory=dict)
    passed: dict[Path, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """``ravdess: 60 inputs, 2 left out, 120 companions, 1 other file; 3 missing``."""
        refused = sum(source.refused is not None for source in self.sources)
        counts = f"{len(self.sources) - refused} inputs, {refused} left out, {len(self.companions)} companions"
        return f"{self.layout}: {counts}, {len(self.passed)} other files; {len(self.missing)} missing"


def read_tree(layout: Layout, folder: Path) -> Reading:
    """All files below a folder, read as `layout`. Nothing is opened; no name makes it fail."""
    reading = Reading(layout.name)
    pieces: dict[Path, Piece] = {}
    refused: dict[Path, str] = {}
    for file in sorted(path.absolute() for path in folder.rglob("*") if not path.is_dir()):
        passed, reason = _not_footage(file, folder.absolute())
        if passed:
            reading.passed[file] = passed
        elif reason:
            refused[file] = reason
        else:
            try:
                piece = layout.parse(file)
            except StrangeName as strange:
                refused[file] = f"not named as {layout.name} names its files: {strange}"
                continue
            if piece.left_out:
                refused[file] = piece.left_out
            else:
                pieces[file] = piece
    listed = _join(layout, pieces, refused, reading)
    listed |= {file: Source(str(file), licence=layout.licence, refused=why) for file, why in refused.items()}
    reading.sources = [listed[file] for file in sorted(listed)]
    reading.missing += _missing(layout, [pieces[file] for file in listed if file not in refused])
    return reading


def _not_footage(file: Path, below: Path) -> tuple[str, str]:
    """(what it is, "") of a file that is none of the corpus's footage, ("", why) of footage that cannot be read."""
    suffix = file.suffix.lower()
    if any(part.startswith(".") for part in file.relative_to(below).parts):
        return "hidden", ""
    if suffix in VIDEO_SUFFIXES or suffix in AUDIO_SUFFIXES:
        return "", ""
    if suffix in _ARCHIVES or _PIECE_OF_ARCHIVE.fullmatch(file.name):
        return "", "an archive: unpack it, then run this again"
    if suffix in _UNFINISHED:
        return "", "an unfinished download: fetch it again"
    return "no video and no sound: the corpus's own text, or made from it", ""


def _join(layout: Layout, pieces: dict[Path, Piece], refused: dict[Path, str], reading: Reading) -> dict[Path, Source]:
    """Pictures with their sounds. What has no counterpart goes to `refused`, what belongs to an input to companions."""
    sounds: dict[tuple[str, ...], Path] = {}
    films: dict[tuple[tuple[str, ...], str], Path] = {}
    for file, piece in pieces.items():
        if piece.kind == SOUND:
            sounds.setdefault(piece.take, file)
        elif piece.kind == FILM:
            first = films.setdefault((piece.take, piece.view), file)
            if first != file:
                refused[file] = f"named as the same take as {first}"
    for file, piece in pieces.items():
        if piece.kind == SILENT:
            film = films.get((piece.take, piece.view))
            if film is not None:
                reading.companions[file] = film
            elif piece.take in sounds:
                films[piece.take, piece.view] = file
            else:
                refused[file] = "a picture without sound, and neither its film nor its sound is there"
    pictures: dict[tuple[str, ...], Path] = {}
    listed: dict[Path, Source] = {}
    for (take, _), file in films.items():
        pictures.setdefault(take, file)
        sound = sounds.get(take) if layout.sound_apart or pieces[file].kind == SILENT else None
        if sound is None and layout.sound_apart:
            reading.missing.append(f"the sound of {file}")
        listed[file] = Source(
            str(file), audio=None if sound is None else str(sound), licence=layout.licence, consent=layout.consent,
            **pieces[file].said,
        )  # fmt: skip
    for file, piece in pieces.items():
        if piece.kind == SOUND:
            if piece.take in pictures:
                reading.companions[file] = pictures[piece.take]
            else:
                refused[file] = "a sound whose picture is not there"
    return listed


def _missing(layout: Layout, pieces: Iterable[Piece]) -> list[str]:
    """Of inputs: gaps in numbered series, and speakers who have fewer takes than all were recorded in."""
    numbers: dict[str, set[int]] = defaultdict(set)
    takes: dict[str, int] = defaultdict(int)
    for piece in pieces:
        takes[piece.said["speaker"]] += 1
        if piece.series:
            numbers[piece.series].add(piece.number)
    gaps = [
        f"{series}: number {number}"
        for series, there in sorted(numbers.items())
        for number in sorted(set(range(min(there), max(there) + 1)) - there)
    ]
    wanted = layout.takes_each or 0
    return gaps + [f"{wanted - n} of {wanted} takes of {who}" for who, n in sorted(takes.items()) if n < wanted]
