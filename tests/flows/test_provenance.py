"""`dubwright verify` and `dubwright consent`: what they say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage import media
from storage.layout import Root
from storage.signing import Ingredient, Seal
from storage.signing_keys import load_certificate
from tests.conftest import PROJECT, Command
from tests.storage.footage import picture

FOOTAGE = PROJECT / "tasks" / "studio" / "library" / "footage"


def made(path: Path, root: Root) -> Path:
    """A signed film."""
    seal = Seal(
        load_certificate(root), {"render_id": "r1", "model_id": "m1"}, (Ingredient("source", "in.mp4", "a" * 64),)
    )
    return media.write_video(path, [picture(0)] * 3, 25, seal=seal.seal)


def test_verify_says_what_a_file_is_and_fails_on_a_changed_one(dubwright: Command, root: Root, tmp_path: Path) -> None:
    good, changed = made(tmp_path / "good.mp4", root), made(tmp_path / "changed.mp4", root)
    data = bytearray(changed.read_bytes())
    data[-9] ^= 4
    changed.write_bytes(data)

    told = dubwright("verify", good)
    assert told.returncode == 0, told.stderr
    for words in ("good.mp4: valid", "local signer (this root)", "compositeWithTrainedAlgorithmicMedia", "in.mp4"):
        assert words in told.stdout

    told = dubwright("--json", "verify", good, changed, "--lineage")
    assert told.returncode == 1
    result = json.loads(told.stdout)
    assert result["counts"] == {"ok": 1, "rejected": 1, "failed": 0}
    assert [item["provenance"]["status"] for item in result["items"]] == ["valid", "changed"]
    assert result["items"][0]["provenance"]["facts"]["model_id"] == "m1"
    assert result["items"][0]["lineage"] is None  # this root's catalog does not know the render
    assert result["items"][1]["reason"]


def test_a_file_of_another_root_is_known_once_its_certificate_is_trusted(dubwright: Command, tmp_path: Path) -> None:
    other = Root(tmp_path / "other")
    path = made(tmp_path / "a.mp4", other)
    told = dubwright("verify", path)
    assert told.returncode == 1
    assert "not known here" in told.stdout
    certificate = other.local / "keys" / "certificate.pem"
    assert dubwright("verify", path, "--set", f"provenance.trust={certificate}").returncode == 0
    assert dubwright("verify", tmp_path / "none.mp4").returncode == 2


@pytest.mark.slow
def test_consent_is_kept_listed_checked_and_withdrawn(dubwright: Command) -> None:
    one = FOOTAGE / "person1_happy.mp4"
    assert dubwright("consent", "add", "One", one).returncode == 2  # neither --allow nor --deny
    assert dubwright("consent", "list").stdout == "nobody is in the consent table\n"
    told = dubwright("consent", "add", "One", one, "--deny")
    assert told.returncode == 0, told.stderr
    assert "deny" in told.stdout
    told = dubwright("consent", "check", FOOTAGE / "person1_surprised.mp4", "--set", "tracks.detect_every=10")
    assert told.returncode == 1
    assert "One" in told.stdout
    assert [dubwright("consent", "remove", "One").returncode for _ in range(2)] == [0, 2]
