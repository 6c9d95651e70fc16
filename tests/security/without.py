"""Take guards out of a copy of the project, one at a time, and run the test that should miss each.

``python without.py COPY JSON`` with JSON a list of [file, text, what takes its place, test, seconds]; prints the exit
code of pytest for each. What all tests import from other projects is imported once; a fork for each has it at hand.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

_BEFORE = (
    "torch", "diffusers.pipelines.pipeline_utils", "diffusers.models.autoencoders", "diffusers.models.unets",
    "transformers.models.clip.modeling_clip", "transformers.models.auto.tokenization_auto", "onnx", "onnxruntime",
    "insightface.app", "whisper", "pyarrow.parquet", "pyarrow.dataset", "lancedb", "scipy.ndimage", "cv2", "av", "c2pa",
    "typer", "fsspec", "jinja2", "pytest",
)  # fmt: skip
_TIMED_OUT = 1
"""Exit code of a test that does not end: without its guard it waits for what never comes, which is a failure too."""


def main(copy: str, cases: str) -> None:
    for name in _BEFORE:
        importlib.import_module(name)
    os.chdir(copy)
    sys.path[:] = [copy, *(path for path in sys.path if path not in ("", str(Path(__file__).parent)))]
    codes = []
    for file, text, instead, test, seconds in json.loads(cases):
        place = Path(copy, file)
        whole = place.read_text()
        place.write_text(whole.replace(text, instead))
        try:
            codes.append(_fails(test, seconds))
        finally:
            place.write_text(whole)
    sys.stdout.write(json.dumps(codes))


def _fails(test: str, seconds: float) -> int:
    child = os.fork()
    if child == 0:
        os.setsid()
        log = os.open(f"{test.partition('::')[2]}.log".replace("/", "-"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        import pytest

        os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-o", "timeout=0", f"tests/security/{test}"]))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _TIMED_OUT


if __name__ == "__main__":
    main(*sys.argv[1:])
