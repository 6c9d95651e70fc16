"""What versions of datasets cost as they grow: per clip, per clip added, and in memory. Run by `make bench`.

A child process commits, so that its processor time and its peak of memory are its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from storage.schema import CLIPS
from storage.shards import ShardWriter
from tests.conftest import PROJECT

FRAMES, CROP_BYTES, MASK_BYTES = 75, 6000, 500
"""A clip of three seconds at 128 px: 0.9 MB with its landmarks and sound."""
COMMIT = """
import json, os, sys, time
from tests.memory import peak_mb
from storage.versions import commit_version
import dvc.repo, pyarrow.dataset  # their loading is no cost of a clip
from storage.version_dvc import dvc_repo
from storage.layout import Root
root, rows, base = sys.argv[1:]
with dvc_repo(Root(root)):
    pass
before = time.process_time()
version = commit_version(root, "bench", rows, base=base)
spent = time.process_time() - before
print(json.dumps([version, spent, peak_mb()]))
"""


def clip(number: int) -> dict[str, Any]:
    """A clip as large as a real one; ten of each film."""
    random = np.random.default_rng(number)
    return {
        "clip_id": random.bytes(10).hex(), "source_id": f"film {number // 10}", "picture_id": f"film {number // 10}",
        "source_uri": f"/films/{number // 10}.mp4", "status": "ok", "start_s": 0.0, "end_s": 3.0,
        "crops": [random.bytes(CROP_BYTES) for _ in range(FRAMES)],
        "masks": [random.bytes(MASK_BYTES) for _ in range(FRAMES)],
        "landmarks": random.random(FRAMES * 212, np.float32), "audio": random.bytes(96_000),
        "mel": random.bytes(48_000),
        "identity": random.random(512, np.float32), "caption": "A woman speaks sadly.", "split": "train",
    }  # fmt: skip


def commit(root: Path, numbers: range, base: str = "") -> tuple[str, float, float]:
    """Version, CPU seconds and peak MB of a commit of these clips."""
    rows = root.parent / f"rows {len(numbers)} {numbers.start}"
    with ShardWriter(rows, CLIPS, 32) as writer:
        for number in numbers:
            writer.write(clip(number))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", COMMIT, str(root), str(rows), base]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    version, seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return version, seconds, peak


def stored(root: Path) -> int:
    """Bytes that a root holds in DVC's cache."""
    return sum(path.stat().st_size for path in (root / ".dvc" / "cache").rglob("*") if path.is_file())


def test_a_thousand_clips_cost_each_what_fifty_do(tmp_path: Path) -> None:
    _, few, few_mb = commit(tmp_path / "few" / "root", range(50))
    version, many, many_mb = commit(tmp_path / "many" / "root", range(1000))
    ratio = (many / 1000) / (few / 50)
    print(f"\ncommit: {1000 * few / 50:.1f} ms a clip of 50, {1000 * many / 1000:.1f} of 1,000: {ratio:.2f} times")  # noqa: T201
    print(f"peak: {few_mb:.0f} MB of 50 clips, {many_mb:.0f} MB of 1,000: {many_mb / few_mb:.2f} times")  # noqa: T201
    held = stored(tmp_path / "many" / "root")
    _, more, _ = commit(tmp_path / "many" / "root", range(1000, 1010), version)
    grown = stored(tmp_path / "many" / "root") - held
    whole = held / 1000 * 10
    print(  # noqa: T201
        f"one film of ten clips more: {more:.2f} CPU s, {grown / 1e6:.1f} MB stored ({whole / 1e6:.1f} MB are its own)"
    )
    assert ratio < 1.05 and many_mb < 1.2 * few_mb
    assert more < many / 4 and grown < 6 * whole
