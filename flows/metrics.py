"""The metrics of a root as Prometheus reads them: over HTTP, or as a file for the node exporter's text collector."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flows.console import say
from flows.server import served_url
from storage.atomic import write_bytes
from storage.errors import ConfigError
from storage.layout import Root
from storage.mirror import bring
from tasks.metrics import METRICS, Measures, Metric, Sample

OWN: dict[str, Metric] = {
    "dubwright_flow_runs": Metric("Runs that Prefect knows, by deployment and state", ("deployment", "state")),
    "dubwright_prefect_up": Metric("1 where the Prefect server answers, 0 where it does not"),
    "dubwright_read_seconds": Metric("How long it took to read all this"),
    "dubwright_read_failed": Metric("1 where the root could not be read; the other metrics are missing then"),
}
STATES = ("Scheduled", "Late", "AwaitingConcurrencySlot", "Pending", "Running", "Retrying", "Completed", "Failed",
          "Crashed", "Cancelled", "TimedOut")  # fmt: skip
ALL = {**METRICS, **OWN}
_PATIENCE_S = 5.0


class RootCollector(Collector):
    """Reads the root anew whenever Prometheus asks; one at a time.

    Args:
        root: the data root.
        url: of a Prefect API whose runs are counted; None: none.
    """

    def __init__(self, root: Root, url: str | None = None) -> None:
        self._root, self._url = root, url
        self._measures = Measures(root)
        self._lock = threading.Lock()

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing is read when the collector is registered."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            began = time.monotonic()
            try:
                bring(self._root)
                samples = list(self._measures.samples())
                failed = 0.0
            except Exception as error:  # noqa: BLE001 - a root that cannot be read must be seen, not break the scrape
                say(f"metrics: {type(error).__name__}: {error}")
                samples, failed = [], 1.0
            samples += prefect_samples(self._url)
            samples += [("dubwright_read_seconds", (), time.monotonic() - began), ("dubwright_read_failed", (), failed)]
        yield from families(samples)


def families(samples: list[Sample]) -> list[GaugeMetricFamily]:
    """Samples as Prometheus' families, in the order of `ALL`."""
    found = {}
    for name, metric in ALL.items():
        found[name] = GaugeMetricFamily(name, metric.doc, labels=metric.labels)
    for name, labels, value in samples:
        found[name].add_metric(labels, value)
    return [family for family in found.values() if family.samples]


def exposition(root: Root, url: str | None = None) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(RootCollector(root, url))
    return generate_latest(registry)


def write_metrics(root: Root, path: Path) -> None:
    """Write them to a file, whole or not at all."""
    write_bytes(path, exposition(root, api_url(root)))


def serve_metrics(root: Root, port: int, host: str) -> None:
    """Answer Prometheus on host:port until interrupted.

    Raises:
        ConfigError: the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(RootCollector(root, api_url(root)))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigError(f"{host}:{port}: {error.strerror}", "choose another --serve PORT") from error
    say(f"metrics of {root}: http://{host}:{server.server_port}/metrics until Ctrl-C")
    try:
        thread.join()
    finally:
        server.shutdown()
        server.server_close()


def api_url(root: Root) -> str | None:
    """The Prefect API whose runs are counted: PREFECT_API_URL, or that of `dubwright up`."""
    return os.environ.get("PREFECT_API_URL") or served_url(root)


def prefect_samples(url: str | None) -> list[Sample]:
    """How many runs of each deployment are in each state; nothing but 0 for a server that does not answer."""
    if url is None:
        return []
    try:
        deployments = _asked(url, "deployments/filter", {"limit": 200})
        samples: list[Sample] = [("dubwright_prefect_up", (), 1.0)]
        for deployment in deployments:
            for state in STATES:
                asked = {"deployments": {"id": {"any_": [deployment["id"]]}},
                         "flow_runs": {"state": {"name": {"any_": [state]}}}}  # fmt: skip
                count = _asked(url, "flow_runs/count", asked)
                samples.append(("dubwright_flow_runs", (deployment["name"], state), float(count)))
        return samples
    except (OSError, ValueError, KeyError):
        return [("dubwright_prefect_up", (), 0.0)]


def _asked(url: str, place: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{url.rstrip('/')}/{place}", json.dumps(body).encode(), method="POST")
    request.add_header("content-type", "application/json")
    if basic := os.environ.get("PREFECT_API_AUTH_STRING"):
        request.add_header("authorization", f"Basic {base64.b64encode(basic.encode()).decode()}")
    elif key := os.environ.get("PREFECT_API_KEY"):
        request.add_header("authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
        return json.load(answer)
