"""Manifests are what Kubernetes, KubeRay and Compose take, agree with the project, and are safe to run."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml

from flows.cli import APP
from tests.conftest import PROJECT
from tests.infra.manifests import (
    INFRA,
    KUBERAY,
    KUBERNETES,
    SECRET,
    Pod,
    compose,
    documents,
    dubwright_commands,
    pods,
    schema,
)

RELEASE = "1.34.0"
PODS = list(pods())
COMMANDS = list(dubwright_commands())
SERVICES: dict[str, Any] = compose()["services"]
PINS = {
    re.split(r"[\[=<>]", line)[0].lower(): line.rpartition("==")[2]
    for line in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
}


def named(pod: Pod) -> str:
    return pod.place


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_kubernetes_takes_it(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, RELEASE, strict=True)


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.stem)
def test_kuberay_takes_it(path: Path) -> None:
    for document in documents(path):
        jsonschema.validate(document, schema("kuberay.json"))


@pytest.mark.parametrize("pod", PODS, ids=named)
def test_every_pod_is_one(pod: Pod) -> None:
    template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": pod.template}
    kubernetes_validate.validate(template, RELEASE, strict=True)


def test_a_misspelt_field_is_found() -> None:
    (document, *_) = documents(INFRA / "kubernetes" / "deploy.yaml")
    document["spec"]["backofLimit"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, RELEASE, strict=True)
    (cluster,) = documents(INFRA / "kuberay" / "raycluster.yaml")
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, schema("kuberay.json"))
    services = compose()
    services["services"]["worker"]["depend_on"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(services, schema("compose.json"))


@pytest.mark.parametrize("pod", PODS, ids=named)
def test_no_pod_runs_as_root_or_without_bounds(pod: Pod) -> None:
    said = pod.spec["securityContext"]
    assert said["runAsNonRoot"] is True and said["runAsUser"] == 10001
    assert said["seccompProfile"]["type"] == "RuntimeDefault" and pod.spec["automountServiceAccountToken"] is False
    for container in pod.spec["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod.spec["volumes"]}


@pytest.mark.parametrize("pod", PODS, ids=named)
def test_pods_name_secrets_and_hold_none(pod: Pod) -> None:
    for container in pod.spec["containers"]:
        for variable in container.get("env", ()):
            if SECRET.search(variable["name"]):
                assert set(variable) == {"name", "valueFrom"}
                assert variable["valueFrom"]["secretKeyRef"]["name"] == "dubwright-secrets"
    settings = next(d for d in documents(INFRA / "kubernetes" / "settings.yaml") if d["kind"] == "ConfigMap")
    assert not [name for name in settings["data"] if SECRET.search(name)]


def test_what_pods_name_is_there() -> None:
    held = [document for path in KUBERNETES for document in documents(path)]
    names = {(document["kind"], document["metadata"]["name"]) for document in held}
    for pod in PODS:
        assert ("ServiceAccount", pod.spec["serviceAccountName"]) in names
        for volume in pod.spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
        for container in pod.spec["containers"]:
            assert all(("ConfigMap", source["configMapRef"]["name"]) in names for source in container["envFrom"])
    kustomization = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [path.name for path in KUBERNETES]
    url = next(d for d in held if d["kind"] == "ConfigMap")["data"]["PREFECT_API_URL"]
    assert ("Service", url.removeprefix("http://").partition(":")[0]) in names


def test_compose_takes_it() -> None:
    whole = compose()
    jsonschema.validate(whole, schema("compose.json"))
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for the health of {needed}"
        assert set(service["networks"]) <= set(whole["networks"])
        for volume in service.get("volumes", ()):
            place = volume.partition(":")[0]
            if place.startswith("."):
                assert place == "../data" or (INFRA / place).is_file(), f"{name} mounts {place}"
            else:
                assert place in whole["volumes"]


def test_compose_holds_no_secret_and_starts_without_none() -> None:
    asked = set()
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) or "PASSWORD" in variable:
                assert "${" in value, f"{name}: {variable} stands in the file"
            asked |= set(re.findall(r"\$\{(\w+)", value))
    text = (INFRA / "compose.yaml").read_text()
    example = dict(line.split("=", 1) for line in (INFRA / "env.example").read_text().splitlines() if "=" in line)
    assert set(example) == asked
    assert not [name for name, value in example.items() if value and SECRET.search(name)]
    assert all(f"${{{name}:?" in text for name in asked)
    ignored = (PROJECT / ".gitignore").read_text().splitlines()
    assert "infra/.env" in ignored and "infra/.env" in (PROJECT / ".dockerignore").read_text().splitlines()


def test_versions_agree() -> None:
    assert SERVICES["prefect"]["image"] == f"prefecthq/prefect:{PINS['prefect']}-python3.11"
    for path in KUBERAY:
        for document in documents(path):
            assert document["spec"].get("rayClusterSpec", document["spec"])["rayVersion"] == PINS["ray"]
    for pod in PODS:
        for container in pod.spec["containers"]:
            image = container["image"]
            assert image in ("dubwright:cpu", "dubwright:cuda", SERVICES["prefect"]["image"])
            assert (image == "dubwright:cuda") == ("nvidia.com/gpu" in container["resources"]["limits"])


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=[place for place, _ in COMMANDS])
def test_every_command_is_one_that_dubwright_has(place: str, words: list[str]) -> None:
    group: Any = typer.main.get_command(APP)
    with group.make_context("dubwright", list(words)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        with command.make_context(name, rest, parent=context):
            pass


def test_scripts_that_containers_run_are_there() -> None:
    text = "\n".join(path.read_text() for path in (INFRA / "compose.yaml", *KUBERAY))
    scripts = set(re.findall(r"infra/[\w.-]+\.sh", text))
    assert scripts == {"infra/ray-driver.sh"}
    for script in scripts:
        assert (PROJECT / script).stat().st_mode & 0o111
        subprocess.run(["bash", "-n", PROJECT / script], check=True)


def test_kubectl_builds_the_whole() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run(
        ["kubectl", "kustomize", INFRA / "kubernetes"], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    made = list(yaml.safe_load_all(built.stdout))
    assert len(made) == sum(len(documents(path)) for path in KUBERNETES)
    assert {document["metadata"]["namespace"] for document in made} == {"dubwright"}


def test_compose_itself_reads_it(tmp_path: Path) -> None:
    found = subprocess.run(["docker", "compose", "version"], capture_output=True) if shutil.which("docker") else None
    if found is None or found.returncode != 0:
        pytest.skip("docker compose is not installed")
    values = tmp_path / "env"
    lines = (INFRA / "env.example").read_text().splitlines()
    values.write_text("\n".join(f"{line}x" if line.endswith("=") else line for line in lines))
    words = ["docker", "compose", "--file", INFRA / "compose.yaml", "--env-file", values, "config", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
