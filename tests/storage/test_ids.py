"""Ids follow content, and nothing but content."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import ids
from storage.ids import content_id, file_sha256

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def typed(value: Any) -> Any:
    """A value in which 1, 1.0 and True differ, and lists and dicts can be compared."""
    if isinstance(value, list):
        return ("list", tuple(typed(item) for item in value))
    if isinstance(value, dict):
        return ("dict", tuple(sorted((key, typed(item)) for key, item in value.items())))
    return (type(value).__name__, repr(value + 0.0) if isinstance(value, float) else value)


@given(values, values)
def test_equal_ids_mean_equal_values(a: Any, b: Any) -> None:
    assert (content_id(a) == content_id(b)) == (repr(typed(a)) == repr(typed(b)))


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_parts_do_not_run_into_each_other(a: list[str], b: list[str]) -> None:
    assert (content_id(*a) == content_id(*b)) == (a == b)


def test_the_id_is_stable_across_processes_and_releases() -> None:
    assert content_id("clip", 1, 2.5, None, [b"x", {"b": 1, "a": True}]) == "23f6469ea96b29ccf8a0"
    code = "from storage.ids import content_id; print(content_id('clip', 1, 2.5, {'b': 1, 'a': True}))"
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": s},
        ).stdout.strip()
        for s in ("1", "2")
    }
    assert made == {content_id("clip", 1, 2.5, {"a": True, "b": 1})}
    assert len(made.pop()) == 20


def test_arrays_and_dataclasses() -> None:
    @dataclass
    class Settings:
        steps: int
        scale: float

    array = np.arange(6, dtype=np.float32)
    assert content_id(array) == content_id(array[::1].copy())
    assert content_id(array) == content_id(array.astype(">f4"))
    assert content_id(array) != content_id(array.reshape(2, 3))
    assert content_id(array) != content_id(array.astype(np.float64))
    assert content_id(np.float64(2.5), np.int64(3)) == content_id(2.5, 3)
    assert content_id(Settings(1, 2.0)) == content_id(Settings(1, 2.0)) != content_id(Settings(1, 2.5))


@pytest.mark.parametrize("value", [Path("a"), object(), {1: 2}, {"a": {1}}, np.array([object()])])
def test_what_has_no_stable_content_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        content_id(value)


def test_a_changed_file_gets_another_digest_even_at_the_same_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"aaaa")
    old = time.time() - 100
    os.utime(path, (old, old))
    first = file_sha256(path, cache=tmp_path / "cache")
    path.write_bytes(b"bbbb")
    os.utime(path, (old, old))
    assert file_sha256(path, cache=tmp_path / "cache") != first


def test_a_digest_is_remembered_on_disk_and_a_broken_note_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 3_000_000)
    later = time.time_ns() + 10**10
    monkeypatch.setattr(ids.time, "time_ns", lambda: later)  # as if it had been written long ago
    first = file_sha256(path, cache=tmp_path / "cache")
    notes = list((tmp_path / "cache").iterdir())
    assert [note.read_text() for note in notes] == [first]
    monkeypatch.setattr(ids, "_known_digests", {})
    notes[0].write_text("torn")
    assert file_sha256(path, cache=tmp_path / "cache") == first


def test_code_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    ids.code_revision.cache_clear()
    assert ids.code_revision()
    ids.code_revision.cache_clear()
    monkeypatch.setenv("DUBWRIGHT_CODE_REVISION", "abc")
    assert ids.code_revision() == "abc"
    ids.code_revision.cache_clear()
