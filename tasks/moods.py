"""What a dub is to feel, and when: one text, texts that follow each other, a file of them, or heard from the track.

Written as ``very angry``, ``auto``, nothing (the face keeps its own expression), ``0: calm | 12.5: very angry | 65: ``,
or the path of a file: CSV, JSON lines or Parquet with `start_s, emotion` (and `end_s`, `intensity`), WebVTT or SubRip,
where each cue's text is an emotion. A number in brackets after a text is its intensity: ``angry (3)``.
"""

from __future__ import annotations

import json
import math
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from storage.errors import InputFailed, UsageError
from storage.texts import read_text
from tasks.emotion_degrees import LEAST, MOST, in_degree
from tasks.experts import Experts
from tasks.feelings import AUTO, emotions_heard
from tasks.manifest import SUFFIXES, read_table

CUES = (".vtt", ".srt")
COLUMNS = ("start_s", "end_s", "emotion", "intensity")
MOST_BYTES = 4 << 20
"""Of a file of cues: those of a long film take a tenth."""
MOST_PARTS = 20_000

_CLOCK = r"(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d+)?"
_PART = re.compile(rf"^(\d+(?:\.\d+)?|{_CLOCK})\s*:\s*(\D.*|)$", re.DOTALL)
_CUE = re.compile(rf"^({_CLOCK})\s+-->\s+({_CLOCK})(?:\s|$)")
_DEGREE = re.compile(r"^(.*\S)\s*\(\s*(\d+(?:\.\d+)?)\s*\)$", re.DOTALL)
_GAP_S = 0.05  # cues that follow each other this closely leave no moment between them
_STAGE = "emotion"


@dataclass(frozen=True)
class Mood:
    """From `start_s` on: a text, "auto" (heard from the track), or None, the face's own expression.

    intensity: 0 (neutral) … 3 (extreme), or None: as the text itself says.
    """

    start_s: float
    text: str | None
    intensity: float | None = None


@dataclass(frozen=True)
class Moods:
    """What is asked for over a video, in order of time; each lasts until the next. Before the first: the first's."""

    parts: tuple[Mood, ...] = (Mood(0.0, None),)

    @classmethod
    def read(cls, asked: str | os.PathLike[str] | None, intensity: float | None = None) -> Moods:
        """What the text or the file `asked` says.

        Args:
            asked: see the module; a path ends in .csv, .jsonl, .parquet, .vtt or .srt.
            intensity: 0 … 3, for all texts that have none of their own.

        Raises:
            InputFailed: a file or a text that cannot be understood; names the line, the row or the part.
        """
        text = os.fspath(asked).strip() if asked is not None else ""
        general = None if intensity is None else _level(intensity, "emotion", "the intensity")
        if Path(text).suffix.lower() in (*SUFFIXES, *CUES):
            parts = _in_order(text, _cues(text) if text.lower().endswith(CUES) else _rows(text))
        else:
            parts = _in_order("emotion", _spoken(text))
        if general is not None and all(part.text is None for _, part in parts):
            raise _unclear("emotion", "there is an intensity but no emotion", "name the emotion, or `auto`")
        if general is not None:
            parts = [(where, replace(p, intensity=p.intensity if p.intensity is not None else general))
                     for where, p in parts]  # fmt: skip
        return cls(_joined(part for _, part in parts))

    @property
    def key(self) -> str | None:
        """What stands for it in a render's key: a single text is itself, nothing is None."""
        if len(self.parts) == 1 and self.parts[0].intensity is None:
            return self.parts[0].text
        return json.dumps([[part.start_s, part.text, part.intensity] for part in self.parts], ensure_ascii=False)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that occur, each once, in order; without None."""
        return tuple(dict.fromkeys(part.text for part in self.parts if part.text is not None))

    @property
    def caption(self) -> str | None:
        """All of it in one line, for a row: a single text as it is, others with their seconds; None for nothing."""
        if not self.texts:
            return None
        if len(self.parts) == 1:
            return self.parts[0].text
        return " | ".join(f"{part.start_s:g}: {part.text or ''}" for part in self.parts)

    def at(self, time_s: float) -> str | None:
        """The text that holds at `time_s` seconds, None where the face keeps its own expression."""
        return self.parts[max(0, bisect_right([part.start_s for part in self.parts], time_s + 1e-9) - 1)].text

    def main(self, until_s: float) -> str | None:
        """The text that holds longest before `until_s` seconds; None where there is none at all."""
        lasting: dict[str, float] = {}
        ends = [*(part.start_s for part in self.parts[1:]), max(until_s, self.parts[-1].start_s)]
        for number, (part, end_s) in enumerate(zip(self.parts, ends, strict=True)):
            if part.text is not None:
                start_s = part.start_s if number else 0.0
                lasting[part.text] = lasting.get(part.text, 0.0) + max(0.0, min(end_s, until_s) - start_s)
        return max(lasting, key=lambda text: lasting[text]) if lasting else None

    def resolved(self, audio: str | os.PathLike[str], experts: Experts) -> Moods:
        """The same in words that a model is given: "auto" as heard from `audio`, intensities written out.

        Raises:
            InputFailed, InputRejected: `audio` cannot be read, or has no sound; only where it is listened to.
        """
        parts: list[Mood] = []
        ends = [*(part.start_s for part in self.parts[1:]), math.inf]
        for part, end_s in zip(self.parts, ends, strict=True):
            if part.text == AUTO:
                heard = emotions_heard(audio, experts, part.start_s, end_s, part.intensity)
                parts += [Mood(start_s, text) for start_s, text in heard]
            elif part.text is not None and part.intensity is not None:
                parts.append(Mood(part.start_s, in_degree(part.text, part.intensity, experts.text)))
            else:
                parts.append(replace(part, intensity=None))
        return Moods(_joined(parts))


def _spoken(text: str) -> list[tuple[str, Mood]]:
    """(part n, mood) of a text as it is typed."""
    pieces = [piece.strip() for piece in text.split("|")]
    timed = [_PART.match(piece) for piece in pieces]
    if not any(timed):
        return [("part 1", _worded("emotion", "part 1", 0.0, text, None))]
    found = []
    for number, (piece, match) in enumerate(zip(pieces, timed, strict=True), 1):
        if match is None:
            raise _unclear(
                "emotion", f"part {number} has no time: {piece[:60]!r}", "write `0: calm | 12.5: very angry`"
            )
        name = f"part {number}"
        found.append((name, _worded("emotion", name, _seconds(match[1], "emotion", name), match[2], None)))
    return found


def _rows(path: str) -> list[tuple[str, Mood]]:
    """(row n, mood) of a table; where `end_s` is given and nothing follows at once, the face's own comes after it."""
    try:
        table = read_table(path)
    except UsageError as error:
        raise InputFailed(path, error.message.removeprefix(f"{path}: "), error.remedy, stage=_STAGE) from error
    names = set().union(*table) if table else set()
    if not {"start_s", "emotion"} <= names or names - set(COLUMNS):
        unknown = ", ".join(sorted(names - set(COLUMNS)))
        problem = f"unknown column {unknown}" if unknown else "has no column `start_s` or `emotion`"
        raise _unclear(path, problem, f"columns are {', '.join(COLUMNS)}")
    spans = []
    for number, entry in enumerate(table, 1):
        name = f"row {number}"
        if entry.get("start_s") is None:
            raise _unclear(path, f"{name} has no start_s", "give the second at which it begins")
        start_s = _seconds(entry["start_s"], path, name)
        end_s = None if entry.get("end_s") is None else _seconds(entry["end_s"], path, name)
        level = None if entry.get("intensity") is None else _level(entry["intensity"], path, name)
        spans.append((name, _worded(path, name, start_s, str(entry.get("emotion") or ""), level), end_s))
    return _with_ends(path, spans)


def _cues(path: str) -> list[tuple[str, Mood]]:
    """(line n, mood) of the cues of a WebVTT or SubRip file; between cues the face keeps its own expression."""
    try:
        lines = read_text(path, MOST_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFailed(path, f"cannot be read: {error}", "give UTF-8 text", stage=_STAGE) from error
    spans: list[tuple[str, Mood, float | None]] = []
    for number, line in enumerate(lines):
        if "-->" not in line:
            continue
        match, name = _CUE.match(line.strip()), f"line {number + 1}"
        if match is None:
            raise _unclear(
                path, f"{name} is no time of a cue: {line.strip()[:60]!r}", "write `00:01.000 --> 00:04.500`"
            )
        said = []
        for text in lines[number + 1 :]:
            if not text.strip() or "-->" in text:
                break
            said.append(re.sub(r"<[^<>]*>", "", text).strip())
        start_s, end_s = (_seconds(match[group], path, name) for group in (1, 2))
        spans.append((name, _worded(path, name, start_s, " ".join(said), None), end_s))
    if not spans:
        raise _unclear(path, "has no cues", "write `00:01.000 --> 00:04.500` and the emotion on the line after it")
    return _with_ends(path, spans)


def _with_ends(path: str, spans: Sequence[tuple[str, Mood, float | None]]) -> list[tuple[str, Mood]]:
    """The moods, and the face's own after each that ends before the next begins, and before a first that does."""
    spans = sorted(spans, key=lambda span: span[1].start_s)
    found: list[tuple[str, Mood]] = []
    if spans and spans[0][2] is not None and spans[0][1].start_s > _GAP_S:
        found.append((spans[0][0], Mood(0.0, None)))
    for number, (name, mood, end_s) in enumerate(spans):
        found.append((name, mood))
        if end_s is None:
            continue
        if end_s <= mood.start_s:
            raise _unclear(path, f"{name} ends before it begins", "let it end after its start")
        following = spans[number + 1][1].start_s if number + 1 < len(spans) else math.inf
        if following - end_s > _GAP_S:
            found.append((name, Mood(end_s, None)))
    return found


def _in_order(source: str, parts: Sequence[tuple[str, Mood]]) -> list[tuple[str, Mood]]:
    """By time. Raises InputFailed where two begin at once: one of them would never be seen."""
    if len(parts) > MOST_PARTS:
        raise _unclear(source, f"has {len(parts)} parts, more than {MOST_PARTS}", "let each last longer")
    ordered = sorted(parts, key=lambda part: part[1].start_s)
    for (one, before), (other, after) in pairwise(ordered):
        if before.start_s == after.start_s:
            raise _unclear(source, f"{one} and {other} both begin at {after.start_s:g} s", "keep one of them")
    return ordered


def _joined(parts: Iterator[Mood] | Sequence[Mood]) -> tuple[Mood, ...]:
    """Without those that change nothing."""
    kept: list[Mood] = []
    for part in parts:
        if not kept or (part.text, part.intensity) != (kept[-1].text, kept[-1].intensity):
            kept.append(part)
    return tuple(kept) or (Mood(0.0, None),)


def _worded(source: str, name: str, start_s: float, text: str, level: float | None) -> Mood:
    match = _DEGREE.match(text.strip())
    if match is not None and level is None:
        text, level = match[1], _level(match[2], source, name)
    text = text.strip()
    return Mood(start_s, text or None, level if text else None)


def _seconds(value: Any, source: str, name: str) -> float:
    """Seconds of 12.5, "12.5", "1:02.5" or "00:01:02,500"."""
    try:
        fields = [float(field) for field in str(value).replace(",", ".").split(":")]
    except ValueError:
        fields = []
    seconds = sum(field * 60**place for place, field in enumerate(reversed(fields)))
    if not 1 <= len(fields) <= 3 or not math.isfinite(seconds) or min(fields) < 0:
        raise _unclear(source, f"{name}: {value!r} is no time", "write seconds (12.5) or 0:12.5")
    return seconds


def _level(value: Any, source: str, name: str) -> float:
    try:
        level = float(value)
    except (TypeError, ValueError):
        level = math.nan
    if not LEAST <= level <= MOST:
        raise _unclear(source, f"{name}: {value!r} is no intensity", "write a number from 0 (neutral) to 3 (extreme)")
    return level


def _unclear(source: str, cause: str, remedy: str) -> InputFailed:
    return InputFailed(source, cause, remedy, stage=_STAGE)
