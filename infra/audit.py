"""What is installed: is it what was pinned, does it fit together, under which licences, and is a weakness of it known?

`make audit` runs it with the project's Python. Exit code 1 where something is not as it should be. Advisories need a
network: where none answers it says so, and judges the rest.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
ADVISER = "pip-audit==2.10.1"
"""Installed into an environment of its own: what looks at the project's packages must not change them."""

UNPINNED = re.compile(r"torch|triton|nvidia-.*|cuda-.*|pip|setuptools|wheel|dubwright|opencv-python-headless")
"""The build tools, torch and what it brings, which differ by machine, and OpenCV's other build."""

COPYLEFT = re.compile(r"(?<!L)GPL|GNU General Public|Affero|EUPL|SSPL", re.IGNORECASE)
ACCEPTED = {
    "espeakng-loader": "GPL-3.0: the extra `studio`, which nothing that is shipped needs",
    "pygit2": "GPL-2.0 with an exception for linking",
}
"""Copyleft that is known and why it is all right."""
UNSTATED = {
    "insightface": "MIT (its README; the model packs that it can load are another matter: `dubwright doctor` tells)",
    "espeakng-loader": "GPL-3.0 (espeak-ng's)",
    "promql-parser": "MIT (its repository)",
}
"""Licences that the packages' own metadata leave out."""


@dataclass(frozen=True)
class Package:
    """An installed package; licence: in words, "" where its metadata says nothing."""

    name: str
    version: str
    licence: str


@dataclass(frozen=True)
class Findings:
    """wrong: what fails the audit; told: what is worth saying."""

    wrong: tuple[str, ...]
    told: tuple[str, ...] = ()


def normal(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> list[Package]:
    """All packages of this Python, by name."""
    found = {normal(one.name): Package(normal(one.name), one.version, licence_of(one)) for one in distributions()}
    return [found[name] for name in sorted(found)]


def licence_of(package: Distribution) -> str:
    """What the metadata says, the most exact first."""
    told = package.metadata.get("License-Expression") or ""
    named = [
        entry.rpartition("::")[2].strip()
        for entry in package.metadata.get_all("Classifier") or []
        if entry.startswith("License") and not entry.endswith("OSI Approved")
    ]
    first = ((package.metadata.get("License") or "").strip().splitlines() or [""])[0][:60]
    choice = first if re.search(r" OR |\|", first) else ""
    return str(told or choice or " OR ".join(named) or first or UNSTATED.get(normal(package.name), ""))


def pins(text: str) -> dict[str, str]:
    """Version by name of a constraints file."""
    lines = (line.partition("#")[0].partition(";")[0].strip() for line in text.splitlines())
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def check_pins(packages: Iterable[Package], pinned: Mapping[str, str]) -> Findings:
    """Is every package installed that is pinned, in that version, and none beside them?"""
    wrong, there = [], set()
    for one in packages:
        there.add(one.name)
        if UNPINNED.fullmatch(one.name):
            continue
        if one.name not in pinned:
            wrong.append(f"{one.name} {one.version} is installed, but not pinned in {CONSTRAINTS.name}")
        elif one.version != pinned[one.name]:
            wrong.append(f"{one.name} {one.version} is installed, {CONSTRAINTS.name} has {pinned[one.name]}")
    absent = sorted(set(pinned) - there)
    if "opencv-python-headless" in there:
        absent = [name for name in absent if name != "opencv-python"]
    told = [f"pinned, but not installed (of extras): {', '.join(absent)}"] if absent else []
    return Findings(tuple(wrong), tuple(told))


def check_licences(packages: Iterable[Package]) -> Findings:
    """Is no package under terms that would bind whoever ships the project? Where there is a choice, one does."""
    wrong, told, counts = [], [], dict[str, int]()
    for one in packages:
        if one.name == "dubwright":
            continue
        counts[one.licence or "not stated"] = counts.get(one.licence or "not stated", 0) + 1
        choices = re.split(r"\s+OR\s+|\s*\|\s*", one.licence)
        if one.name in ACCEPTED:
            told.append(f"{one.name}: {ACCEPTED[one.name]}")
        elif one.licence and all(COPYLEFT.search(choice) for choice in choices):
            wrong.append(f"{one.name} {one.version} is under {one.licence}")
        elif not one.licence and not UNPINNED.fullmatch(one.name):
            wrong.append(
                f"{one.name} {one.version} does not say what its licence is: find out, and note it in {__file__}"
            )
    listed = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return Findings(tuple(wrong), (*told, *(f"{count:4d}  {licence}" for licence, count in listed)))


def check_fit() -> Findings:
    """`pip check`: are all requirements of all packages met?"""
    asked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    lines = [line for line in asked.stdout.splitlines() if line.strip()]
    # Where OpenCV cannot load for want of libGL, the Makefile puts its headless build in place of the usual one.
    known = [line for line in lines if "requires opencv-python," in line]
    wrong = [line for line in lines if line not in known] if asked.returncode else []
    return Findings(tuple(wrong), tuple(known))


def check_advisories(packages: Iterable[Package]) -> Findings:
    """Weaknesses that are known of these versions, from the advisories that pip-audit asks."""
    with tempfile.TemporaryDirectory(prefix="dubwright-audit-") as folder:
        wanted = Path(folder) / "installed.txt"
        listed = [one for one in packages if not UNPINNED.fullmatch(one.name) or one.name == "torch"]
        wanted.write_text("".join(f"{one.name}=={one.version.partition('+')[0]}\n" for one in listed))
        python = Path(folder) / "venv" / "bin" / "python"
        try:
            venv.create(Path(folder) / "venv", with_pip=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ADVISER]
            subprocess.run(install, check=True, capture_output=True, timeout=600)
            ask = [
                str(python),
                "-m",
                "pip_audit",
                "-r",
                str(wanted),
                "--no-deps",
                "--disable-pip",
                "-f",
                "json",
                "--timeout",
                "20",
            ]
            asked = subprocess.run(ask, capture_output=True, text=True, timeout=900)
            return advisories(json.loads(asked.stdout))
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            return Findings(
                (), (f"no advisory service could be asked ({type(error).__name__}): known weaknesses not looked up",)
            )


def advisories(report: Mapping[str, list[dict[str, object]]]) -> Findings:
    """What pip-audit's JSON says. A weakness that no version mends yet is told; one that an update mends is wrong."""
    wrong, told, skipped = [], [], 0
    for package in report["dependencies"]:
        skipped += "skip_reason" in package
        known = package.get("vulns")
        for one in known if isinstance(known, list) else []:
            fixes = ", ".join(one.get("fix_versions") or [])
            line = f"{package['name']} {package['version']}: {one['id']}"
            if fixes:
                wrong.append(f"{line}, mended in {fixes}")
            else:
                told.append(f"{line}, not mended yet")
    asked = len(report["dependencies"]) - skipped
    if asked == 0:
        return Findings((), ("no advisory service knows these packages here: known weaknesses not looked up",))
    told.append(f"{asked} packages looked up, {len(wrong)} to update, {skipped} not known there")
    return Findings(tuple(wrong), tuple(told))


def main() -> int:
    packages = installed()
    parts = {
        "pinned": check_pins(packages, pins(CONSTRAINTS.read_text())),
        "fit": check_fit(),
        "licences": check_licences(packages),
        "advisories": check_advisories(packages),
    }
    out = sys.stdout
    for title, findings in parts.items():
        out.write(f"{title}: {'; '.join(findings.wrong) or 'ok'}\n")
        out.writelines(f"  {line}\n" for line in findings.told)
    return int(any(findings.wrong for findings in parts.values()))


if __name__ == "__main__":
    sys.exit(main())
