"""Environment variables that must stand before Prefect, Ray or a model library is imported.

They are inherited by every process started from here: Prefect's local server and Ray's workers.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path

PRIVATE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",  # it reports that it may not report, from `ray start`
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
LOCAL_RAY = {
    # Whatever its name says, it is the switch between a Ray that others can reach, which listens on all networks, and
    # one of this machine alone, which listens on loopback (`tasks.loopback`).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",  # its token check is for clusters that others can reach
}


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

    Call before Prefect is imported. A PREFECT_HOME or PREFECT_API_URL that the user has set stays in force. The folder
    is its owner's alone: the database holds what is in Prefect's blocks.
    """
    os.environ.setdefault("PREFECT_LOCAL_STORAGE_PATH", str(root / ".prefect" / "storage"))  # results of runs
    if os.environ.get("PREFECT_API_URL") or os.environ.get("PREFECT_HOME"):
        return
    home = root / ".prefect"
    home.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # of somebody else, who has decided otherwise
        home.chmod(0o700)
    os.environ["PREFECT_HOME"] = str(home)
