"""The manifests of infra/, read: documents, pods and containers, and the words that each container runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import PROJECT

INFRA = PROJECT / "infra"
HERE = Path(__file__).parent
KUBERNETES = sorted(path for path in (INFRA / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
KUBERAY = sorted((INFRA / "kuberay").glob("*.yaml"))
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING|ACCESS_KEY|CONNECTION_URL|ROOT_USER")
Document = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod that a manifest makes. place: file and name, for people."""

    place: str
    template: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.template["spec"]
        return found


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / name).read_text())
    return found


def pods() -> Iterator[Pod]:
    for path in (*KUBERNETES, *KUBERAY):
        for document in documents(path):
            yield from (Pod(f"{path.name} {where}", template) for where, template in _templates(document))


def _templates(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    kind, spec = document["kind"], document.get("spec", {})
    if kind in ("Deployment", "Job"):
        yield document["metadata"]["name"], spec["template"]
    elif kind == "CronJob":
        yield document["metadata"]["name"], spec["jobTemplate"]["spec"]["template"]
    elif kind in ("RayCluster", "RayJob"):
        cluster = spec.get("rayClusterSpec", spec)
        yield "head", cluster["headGroupSpec"]["template"]
        for group in cluster["workerGroupSpecs"]:
            yield group["groupName"], group["template"]


def compose() -> Document:
    """infra/compose.yaml with its anchors resolved."""
    found: Document = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return found


def dubwright_commands() -> Iterator[tuple[str, list[str]]]:
    """(place, words) of every container that runs `dubwright`, the program itself left out."""
    for pod in pods():
        for container in pod.spec["containers"]:
            if "args" in container and "command" not in container:
                yield pod.place, [str(word) for word in container["args"]]
    for name, service in compose()["services"].items():
        if service["image"].startswith("dubwright") and "entrypoint" not in service:
            yield f"compose {name}", [str(word) for word in service["command"]]
    for path in KUBERAY:
        for document in documents(path):
            if document["kind"] == "RayJob":
                program, *words = document["spec"]["entrypoint"].split()
                assert program == "dubwright"
                yield path.name, words
    shell = "\n".join(compose()["services"]["backup"]["command"])
    for words in re.findall(r"dubwright (--root [^|;&]+)", shell):
        yield "compose backup", words.split()
