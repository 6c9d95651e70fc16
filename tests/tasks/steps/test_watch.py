"""A clip that takes its worker down is known by the line that it leaves without an end, and left out in time."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import InputFailed
from tasks.steps.watch import DIED, TIMED_OUT, Watch


def begun(journal: Path, step: str, clip: int | None, tries: int = 2) -> int:
    """A worker takes up source s, comes to this step, and is never heard of again."""
    watch = Watch(journal, 0.0, tries)
    watch.open("s")
    watch.begin("tracks")
    return watch.begin(step, clip)


def test_after_as_many_deaths_as_tries_the_clip_is_left_out(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    assert begun(journal, "sync", 3) == 1
    assert begun(journal, "sync", 3) == 2
    with pytest.raises(InputFailed, match="quarantined") as caught:
        begun(journal, "sync", 3)
    assert (caught.value.error_type, caught.value.stage) == (DIED, "sync")
    assert begun(journal, "sync", 4) == 1


def test_a_node_that_went_says_nothing_against_what_its_worker_was_at(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    for _ in range(4):  # a spot instance after the other
        watch = Watch(journal, 0.0, 2, "spot", lambda node: node == "spot")
        watch.open("s")
        assert watch.begin("sync", 3) == 1
    for deaths in (1, 2):  # and a worker that dies by itself
        watch = Watch(journal, 0.0, 2, "lasting", lambda node: node == "spot")
        watch.open("s")
        assert watch.begin("sync", 3) == deaths
    watch = Watch(journal, 0.0, 2, "lasting", lambda node: node == "spot")
    watch.open("s")
    with pytest.raises(InputFailed, match="quarantined"):
        watch.begin("sync", 3)


def test_what_ended_says_nothing_against_a_clip(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    for _ in range(3):
        watch = Watch(journal, 0.0, 2)
        watch.open("s")
        assert watch.begin("sync", 3) == 1
        watch.close("ok")


_STUCK = """
import sys, time
from pathlib import Path
from tasks.steps.watch import Watch
watch = Watch(Path(sys.argv[1]), 0.6, 2)
watch.open("s")
watch.begin("tracks")
for _ in range(4):
    time.sleep(0.3)
    watch.alive()
watch.begin("sound", 7)
time.sleep(60)
"""


def test_a_step_that_gets_on_is_left_alone_and_one_that_does_not_is_ended(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    ended = subprocess.run([sys.executable, "-c", _STUCK, str(journal)], timeout=50, capture_output=True)
    assert ended.returncode == 1
    watch = Watch(journal, 0.0, 2)
    watch.open("s")
    assert watch.begin("tracks") == 1
    with pytest.raises(InputFailed, match="more than") as caught:
        watch.begin("sound", 7)
    assert caught.value.error_type == TIMED_OUT
