"""What doctor says of the parts that a configuration names: there, switched off, optional or missing."""

from pathlib import Path

import pytest

from tasks.config import load_config
from tasks.inventory import Finding, inventory
from tasks.training.stages import EXPERT_STAGES


def found(**settings: object) -> dict[str, Finding]:
    overrides = {name.replace("__", "."): value for name, value in settings.items()}
    return {finding["what"]: finding for finding in inventory(load_config(overrides=overrides))}


def test_shipped_parts_are_there_and_parts_switched_off_are_not_missing() -> None:
    findings = found(audio__sync="none", audio__emotion="none")
    assert findings["face pack studio"]["status"] == "ok"
    assert "Apache-2.0" in findings["face pack studio"]["detail"]
    assert [findings[f"{part} pack"]["status"] for part in ("sync", "emotion")] == ["ok", "ok"]
    assert not [entry for entry in findings.values() if entry["status"] == "missing"]


@pytest.mark.parametrize("part", ["speech", "sync", "text", "emotion"])
def test_what_is_missing_comes_with_a_command_that_makes_it(part: str, tmp_path: Path) -> None:
    finding = found(**{f"audio__{part}": str(tmp_path)})[f"{part} pack {tmp_path}"]
    assert finding["status"] == ("warning" if part == "emotion" else "missing")
    assert part in EXPERT_STAGES
    assert f"--stage {part}" in finding["remedy"]
