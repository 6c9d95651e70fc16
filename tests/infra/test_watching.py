"""The dashboard and the alerts ask for what is really exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import ray
import yaml

from flows.metrics import ALL, exposition
from storage.layout import Root
from tests.conftest import PROJECT

INFRA = PROJECT / "infra"
DASHBOARD: dict[str, Any] = json.loads((INFRA / "grafana" / "dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((INFRA / "alerts.yaml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
VARIABLES = {entry["name"] for entry in DASHBOARD["templating"]["list"]}


def ray_metrics() -> set[str]:
    """Names under which Ray's nodes tell of themselves, from the module that sends them."""
    agent = Path(ray.__file__).parent / "dashboard" / "modules" / "reporter" / "reporter_agent.py"
    return {f"ray_{name}" for name in re.findall(r'"(node_[a-z_]+)": Gauge', agent.read_text())}


def selectors(node: Any) -> Iterator[Any]:
    """Every series that a query reads."""
    if isinstance(node, promql.VectorSelector):
        yield node
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from selectors(argument)
    elif isinstance(node, promql.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        yield from selectors(node.expr)


def check(query: str, legend: str = "") -> None:
    for name in re.findall(r"\$(\w+)", query):
        assert name in VARIABLES or name.isdigit(), f"{query}: the dashboard has no variable {name}"
    read = list(selectors(promql.parse(query)))
    assert read, f"{query} reads nothing"
    for selector in read:
        own = selector.name in ALL
        assert own or selector.name in ray_metrics(), f"{query}: nobody exports {selector.name}"
        if own:
            labels = set(ALL[selector.name].labels)
            asked = {matcher.name for matcher in selector.matchers.matchers}
            assert asked <= labels, f"{query}: {selector.name} has no label {asked - labels}"
            shown = set(re.findall(r"{{(\w+)}}", legend))
            assert shown <= labels, f"{query}: its legend shows {shown - labels}"
    for names in re.findall(r"\bby \(([^)]*)\)", query):
        known = {label for selector in read for label in ALL[selector.name].labels}
        assert {name.strip() for name in names.split(",")} <= known, f"{query}: groups by what is not there"


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=[f"{title} {t['refId']}" for title, t in TARGETS])
def test_every_query_names_a_metric_that_is_exported(title: str, target: dict[str, Any]) -> None:
    check(target["expr"], target["legendFormat"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_can_fire(rule: dict[str, Any]) -> None:
    check(rule["expr"])
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "warn") and rule["annotations"]["summary"].endswith((".", "?"))


def test_variables_and_annotations_name_metrics_too() -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"]).groups()
        assert label in ALL[metric].labels
    for annotation in DASHBOARD["annotations"]["list"]:
        check(annotation["expr"], annotation["textFormat"])


def test_a_wrong_query_is_found() -> None:
    for query in ("sum(dubwright_no_such)", 'dubwright_models{version="1"}', "sum by (step) (dubwright_rows)", "1 +"):
        with pytest.raises((AssertionError, ValueError)):
            check(query)


def test_what_was_asked_for_is_on_the_dashboard() -> None:
    asked = "\n".join(target["expr"] for _, target in TARGETS)
    for name in ("dubwright_step_items", "dubwright_queue_films", "dubwright_queue_renders", "dubwright_flow_runs",
                 "dubwright_failures", "dubwright_gpu_utilization_ratio", "dubwright_model_quality"):  # fmt: skip
        assert name in asked
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["description"] for panel in PANELS)


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_the_exposition_is_what_prometheus_reads(root: Root) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(exposition(root).decode())}
    assert {"dubwright_info", "dubwright_disk_bytes", "dubwright_read_seconds"} <= set(families) <= set(ALL)
    for name, family in families.items():
        assert family.documentation == ALL[name].doc and family.type == "gauge"
        assert all(tuple(sample.labels) == ALL[name].labels for sample in family.samples)
    assert families["dubwright_read_failed"].samples[0].value == 0.0


def test_a_root_that_cannot_be_read_is_seen(root: Root) -> None:
    (root.catalog / "runs.lance").mkdir(parents=True)
    (root.catalog / "runs.lance" / "spoilt").touch()
    assert b"\ndubwright_read_failed 1.0" in exposition(root)
