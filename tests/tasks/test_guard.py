"""A process that gets nowhere is ended, and says why first; one that gets on, rests or was let go is not."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys, time
from tasks.guard import Guard
guard = Guard(0.6, lambda: print("stuck", flush=True))
guard.alive()
for _ in range(12):
    time.sleep(0.1)
    if sys.argv[1] == "gets on":
        guard.alive()
    if sys.argv[1] == "rests":
        guard.rest()
    if sys.argv[1] == "let go":
        guard.end()
print("done", flush=True)
"""


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [("stuck", 1, ["stuck"]), ("gets on", 0, ["done"]), ("rests", 0, ["done"]), ("let go", 0, ["done"])],
)
def test_only_a_process_that_gets_nowhere_is_ended(case: str, code: int, said: list[str]) -> None:
    made = subprocess.run([sys.executable, "-c", SCRIPT, case], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (made.returncode, made.stdout.split()) == (code, said)
