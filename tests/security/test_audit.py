"""The audit of dependencies: it finds what it is there to find."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.conftest import PROJECT


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """infra/audit.py, which is no package."""
    about = importlib.util.spec_from_file_location("audit", PROJECT / "infra" / "audit.py")
    assert about is not None and about.loader is not None
    module = importlib.util.module_from_spec(about)
    sys.modules["audit"] = module
    about.loader.exec_module(module)
    return module


def test_what_is_installed_beside_the_pins_is_found(audit: ModuleType) -> None:
    pinned = audit.pins(audit.CONSTRAINTS.read_text())
    named = [audit.Package(name, version, "MIT") for name, version in pinned.items()]
    assert len(named) > 200 and audit.check_pins(named, pinned) == audit.Findings(())
    other = [
        audit.Package("numpy", "0.1", "BSD"),
        audit.Package("evil", "1", "MIT"),
        audit.Package("torch", "9", "BSD"),
    ]
    wrong = audit.check_pins(other, pinned).wrong
    assert len(wrong) == 2 and "numpy 0.1" in wrong[0] and "evil 1 is installed, but not pinned" in wrong[1]


def test_all_of_it_fits_together(audit: ModuleType) -> None:
    assert audit.check_fit().wrong == ()


def test_no_copyleft_comes_in_unseen(audit: ModuleType) -> None:
    assert audit.check_licences(audit.installed()).wrong == ()
    bad = ("GPL-3.0-only", "AGPL-3.0", "GNU General Public License v3 (GPLv3)", "SSPL-1.0", "")
    good = ("MIT", "LGPL-2.1-or-later", "Apache-2.0 OR GPL-2.0-or-later", "GPLv2 | EPLv1", "MPL-2.0")
    for licence in (*bad, *good):
        assert bool(audit.check_licences([audit.Package("x", "1", licence)]).wrong) == (licence in bad), licence


def test_a_weakness_that_an_update_mends_fails_the_audit(audit: ModuleType) -> None:
    mended = {"id": "CVE-1", "fix_versions": ["2.0"]}
    report = {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": [mended]},
            {"name": "b", "version": "1", "vulns": [{"id": "CVE-2", "fix_versions": []}]},
            {"name": "c", "version": "1", "vulns": []},
            {"name": "d", "skip_reason": "not found"},
        ]
    }
    found = audit.advisories(report)
    assert found.wrong == ("a 1: CVE-1, mended in 2.0",)
    assert found.told == ("b 1: CVE-2, not mended yet", "3 packages looked up, 1 to update, 1 not known there")


def test_no_advisory_service_is_no_failure(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ADVISER", "no-such-package-of-this-name==0.0.0 --index-url=http://127.0.0.1:9/")
    monkeypatch.setattr(audit.venv, "create", lambda *given, **named: (_ for _ in ()).throw(OSError("no network")))
    found = audit.check_advisories([audit.Package("numpy", "1", "BSD")])
    assert found.wrong == () and "no advisory service" in found.told[0]
    unknown = audit.advisories({"dependencies": [{"name": "numpy", "skip_reason": "not found"}]})
    assert unknown.wrong == () and "no advisory service" in unknown.told[0]
