"""The consent table: a line for every picture of a person, and whether they may be animated.

``speaker, consent, source``: consent is ``allow`` or ``deny``; source a picture or a video of this person alone, beside
the table. A table that the command keeps is ROOT/consent.csv, with copies of the pictures in ROOT/consent, so that it
holds when the originals move. Others (CSV, JSONL, Parquet) are read wherever they lie, and not written.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.atomic import FileLock, write_text, written_aside
from storage.errors import ConfigError, NotFound, UsageError
from storage.ids import content_id, file_sha256
from storage.layout import Root
from tasks.config import Config
from tasks.manifest import located, read_table

ALLOW, DENY = "allow", "deny"
COLUMNS = ("speaker", "consent", "source")
TABLE, PICTURES = "consent.csv", "consent"
SEEN = "consent"
"""Folder of ROOT/cache with the embeddings of these pictures."""


@dataclass(frozen=True)
class Entry:
    """A line: speaker; consent: allow or deny; source: the picture's place, absolute; line: its number, from 1."""

    speaker: str
    consent: str
    source: str
    line: int


def table_place(config: Config) -> Path | None:
    """Where the table lies; None where there is none.

    Raises:
        ConfigError: one is configured that is not there.
    """
    if config.consent.table is None:
        place = Root(config.root).local / TABLE
        return place if place.is_file() else None
    place = Path(config.consent.table).expanduser()
    if not place.is_file():
        raise ConfigError(f"{place}: no such consent table", "correct consent.table")
    return place


def read_entries(place: Path) -> list[Entry]:
    """Lines of a table in order.

    Raises:
        ConfigError: a column is missing, a line is not filled in or says neither allow nor deny, or a person is both.
    """
    rows = read_table(place)
    entries: list[Entry] = []
    said: dict[str, str] = {}
    for line, row in enumerate(rows, 1):
        missing = [name for name in COLUMNS if not row.get(name)]
        if missing:
            raise ConfigError(f"{place}: row {line} lacks {', '.join(missing)}", f"columns are {', '.join(COLUMNS)}")
        speaker, consent = str(row["speaker"]), str(row["consent"]).lower()
        if consent not in (ALLOW, DENY):
            raise ConfigError(f"{place}: row {line}: consent is {row['consent']!r}", f"write {ALLOW} or {DENY}")
        if said.setdefault(speaker, consent) != consent:
            raise ConfigError(f"{place}: row {line}: {speaker} is both allowed and denied", "decide on one")
        source = located(str(row["source"]), place.absolute().parent)
        entries.append(Entry(speaker, consent, str(source), line))
    return entries


def consent_key(config: Config) -> str:
    """A hash of who is allowed and denied, part of a render's identity, so that a changed table makes it anew; "" where
    nothing is restricted.

    Raises:
        ConfigError: the table cannot be read, or a picture is missing.
    """
    place = table_place(config)
    if place is None:
        return ""
    people = sorted([entry.speaker, entry.consent, digest_of(entry, place)] for entry in read_entries(place))
    if not people and not config.consent.require:
        return ""
    return content_id("consent", people, config.consent.require, config.consent.same_person)


def digest_of(entry: Entry, table: Path) -> str:
    """SHA-256 of the picture.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file_sha256(entry.source)
    except OSError as error:
        raise ConfigError(
            f"{table}: row {entry.line} ({entry.speaker}): {entry.source} cannot be read: {error.strerror}",
            "restore the picture, or take the row out",
        ) from error


def add_entries(config: Config, speaker: str, consent: str, sources: Sequence[Path]) -> list[Entry]:
    """Put a person into ROOT/consent.csv, with copies of these pictures; what was said of them before is replaced.

    Raises:
        UsageError: the table in force is another file.
    """
    root = _kept_root(config)
    folder = root.local / PICTURES
    copies = []
    for source in sources:
        stem = re.sub(r"[^\w-]+", "-", speaker).strip("-") or "person"
        copy = folder / f"{stem}-{file_sha256(source)[:12]}{source.suffix.lower()}"
        if not copy.is_file():
            with written_aside(copy) as partial:
                shutil.copyfile(source, partial)
        copies.append(str(copy))
    with FileLock(folder / ".lock"):
        entries = _others(root, speaker) + [Entry(speaker, consent, copy, 0) for copy in copies]
        _write(root, entries)
    return read_entries(root.local / TABLE)


def remove_entries(config: Config, speaker: str) -> list[Entry]:
    """Take a person out of ROOT/consent.csv; copies of pictures that no line names any more are deleted.

    Raises:
        NotFound: nobody of that name is in it.
        UsageError: the table in force is another file.
    """
    root = _kept_root(config)
    with FileLock(root.local / PICTURES / ".lock"):
        place = root.local / TABLE
        before = read_entries(place) if place.is_file() else []
        entries = [entry for entry in before if entry.speaker != speaker]
        if len(entries) == len(before):
            raise NotFound(f"there is no {speaker!r} in {place}", "see `dubwright consent list`")
        _write(root, entries)
    return entries


def _kept_root(config: Config) -> Root:
    if config.consent.table is not None:
        raise UsageError(f"{config.consent.table}: this table is not kept by dubwright", "edit it where it lies")
    return Root(config.root)


def _others(root: Root, speaker: str) -> list[Entry]:
    place = root.local / TABLE
    return [entry for entry in read_entries(place) if entry.speaker != speaker] if place.is_file() else []


def _write(root: Root, entries: Sequence[Entry]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([entry.speaker, entry.consent, root.relative(entry.source)])
    write_text(root.local / TABLE, text.getvalue())
    named = {entry.source for entry in entries}
    unnamed = [
        picture
        for picture in (root.local / PICTURES).iterdir()
        if str(picture) not in named and not picture.name.startswith(".")
    ]
    for picture in unnamed:
        picture.unlink()
    if unnamed:
        shutil.rmtree(root.cache / SEEN, ignore_errors=True)  # who is taken out leaves no face behind
