"""Environment variables that must stand before Prefect, Ray or a model library is imported.

They are inherited by every process started from here: Prefect's local server and Ray's workers.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

PRIVATE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DVC_NO_ANALYTICS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
QUIET = {
    # Prefect keeps every log line for its server; the terminal shows this project's own lines instead, because
    # Prefect's would print tracebacks for errors that are explained in one sentence.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "LANCEDB_LOG": "error",  # its trainer counts the rounds in which a caption that many clips share fills a cell
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning",  # of libraries among each other
}
PATIENT = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",  # the first start takes 10-16 s on two cores
    "RAY_worker_niceness": "0",  # the default of 15 starves the workers wherever anything else runs
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # the default of 2 s costs a short training run as much again
}
# Ray's token check is for clusters that others can reach; a Ray started here listens on this machine only.
LOCAL_RAY = {"RAY_AUTH_MODE": "disabled"}


def set_defaults() -> None:
    """Set what the user has not set. Safe to call again."""
    for name, value in {**PRIVATE, **QUIET, **PATIENT}.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
        for name, value in LOCAL_RAY.items():
            os.environ.setdefault(name, value)
    for category in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category)  # PYTHONWARNINGS reaches the processes started from here


def keep_state_in(root: Path) -> None:
    """Let Prefect keep its database and settings under `root`, so that nothing is written outside it.

    Call before Prefect is imported. A PREFECT_HOME or PREFECT_API_URL that the user has set stays in force.
    """
    if not os.environ.get("PREFECT_API_URL"):
        os.environ.setdefault("PREFECT_HOME", str(root / ".prefect"))
