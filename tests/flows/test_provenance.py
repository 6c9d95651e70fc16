"""`dubwright verify` and `dubwright consent`: what they say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli import run
from storage import media
from storage.signing import Ingredient, Seal
from storage.signing_keys import load_certificate
from tests.conftest import PROJECT
from tests.storage.footage import picture

FOOTAGE = PROJECT / "tasks" / "studio" / "library" / "footage"


def made(path: Path, root: Path) -> Path:
    """A signed film."""
    seal = Seal(
        load_certificate(root), {"render_id": "r1", "model_id": "m1"}, (Ingredient("source", "in.mp4", "a" * 64),)
    )
    return media.write_video(path, [picture(0)] * 3, 25, seal=seal.seal)


def test_verify_says_what_a_file_is_and_fails_on_a_changed_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    good, changed = made(tmp_path / "good.mp4", root), made(tmp_path / "changed.mp4", root)
    data = bytearray(changed.read_bytes())
    data[-9] ^= 4
    changed.write_bytes(data)

    assert run(["--root", str(root), "verify", str(good)]) == 0
    told = capfd.readouterr().out
    assert "good.mp4: valid" in told
    assert "dubwright local signer (this root)" in told
    assert "compositeWithTrainedAlgorithmicMedia" in told
    assert "in.mp4" in told

    assert run(["--root", str(root), "--json", "verify", str(good), str(changed)]) == 1
    result = json.loads(capfd.readouterr().out)
    assert result["counts"] == {"ok": 1, "rejected": 1, "failed": 0}
    assert [item["provenance"]["status"] for item in result["items"]] == ["valid", "changed"]
    assert result["items"][0]["provenance"]["facts"]["model_id"] == "m1"
    assert result["items"][1]["reason"]

    assert run(["--root", str(tmp_path / "other"), "verify", str(good)]) == 1
    assert "not known here" in capfd.readouterr().out
    trusted = f"provenance.trust={root / 'keys' / 'certificate.pem'}"
    assert run(["--root", str(tmp_path / "other"), "verify", str(good), "--set", trusted]) == 0
    assert run(["verify", str(tmp_path / "none.mp4")]) == 2


def test_a_chain_that_the_catalog_does_not_know_is_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    assert run(["--root", str(root), "--json", "verify", "--lineage", str(made(tmp_path / "a.mp4", root))]) == 0
    assert json.loads(capfd.readouterr().out)["items"][0]["lineage"] is None


@pytest.mark.slow
def test_consent_is_kept_listed_checked_and_withdrawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def consent(*words: str) -> tuple[int, str]:
        code = run(["--root", str(tmp_path / "root"), "consent", *words])
        return code, "".join(capfd.readouterr())

    one = str(FOOTAGE / "person1_happy.mp4")
    assert consent("add", "One", one)[0] == 2  # neither --allow nor --deny
    assert consent("list") == (0, "nobody is in the consent table\n")
    code, told = consent("add", "One", one, "--deny")
    assert code == 0
    assert "deny" in told
    code, told = consent("check", str(FOOTAGE / "person1_surprised.mp4"), "--set", "tracks.detect_every=10")
    assert code == 1
    assert "One" in told
    assert consent("remove", "One")[0] == 0
    assert consent("remove", "One")[0] == 2
