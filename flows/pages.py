"""What `dubwright up` serves beside Prefect, to this machine alone: reports of runs, and an ear for notifications.

A browser does not follow a link from a server's page to a file, so the report behind a run's link is served. The same
small server takes what Prefect's automations have to say and writes it to ``ROOT/notifications.log``, where nobody has
named a better place.
"""

from __future__ import annotations

import datetime
import json
import mimetypes
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from flows.server import free_port
from storage.layout import Root

URL, FOLDER = "DUBWRIGHT_PAGES", "DUBWRIGHT_PAGES_OF"
"""Environment variables that tell the runs of deployments what is served, and of which folder."""
LOG = "notifications.log"
LONGEST = 64 << 10
"""Bytes of a notification; more is refused."""
_OURS = {"127.0.0.1", "localhost", "[::1]"}


@dataclass(frozen=True)
class Pages:
    """url: of the reports. ear: where a notification is posted, as JSON with "subject" and "body". log: its file."""

    url: str
    ear: str
    log: Path


def page_url(page: str | Path) -> str:
    """Address of a page of a run: served where `dubwright up` serves its folder, else that of the file itself."""
    path = Path(page).absolute()
    url, folder = os.environ.get(URL), os.environ.get(FOLDER)
    if url and folder and path.is_relative_to(folder):
        return f"{url}/{quote(path.relative_to(folder).as_posix())}"
    return path.as_uri()


@contextmanager
def served_pages(root: Root, port: int) -> Iterator[Pages]:
    """Serve the runs of a root on 127.0.0.1 while the body runs, on `port` or, where that is taken, on a free one.

    Whoever posts a notification must know the secret path that only Prefect is told.
    """
    root.runs.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_urlsafe(16)
    log = root.local / LOG

    class Handler(_Handler):
        folder, ear, notes = root.runs.resolve(), f"/notify/{secret}", log

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    before = {name: os.environ.get(name) for name in (URL, FOLDER)}
    os.environ.update({URL: url, FOLDER: str(root.runs.absolute())})
    try:
        yield Pages(url, f"{url}{Handler.ear}", log)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """GET: a file of a run. POST at the secret path: a notification."""

    folder: Path
    ear: str
    notes: Path
    writing = threading.Lock()
    server_version, sys_version = "dubwright", ""

    def do_GET(self) -> None:
        """Send a file under `folder`; nothing else, no listings, nothing that a link leads out to."""
        file = (self.folder / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not self._meant_for_here() or not file.is_relative_to(self.folder) or not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", mimetypes.guess_type(file.name)[0] or "application/octet-stream")
        self.send_header("Content-Length", str(file.stat().st_size))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        with file.open("rb") as source:
            shutil.copyfileobj(source, self.wfile)

    def do_POST(self) -> None:
        """Write a notification into the log, one JSON object a line."""
        told = self.headers.get("Content-Length") or ""
        length = int(told) if told.isdecimal() else 0
        if not self._meant_for_here() or not secrets.compare_digest(self.path.encode(), self.ear.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            said = json.loads(self.rfile.read(length)) if length <= LONGEST else None
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = {"time": now, **{name: str(said.get(name, "")) for name in ("subject", "body")}}
        with self.writing, self.notes.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def _meant_for_here(self) -> bool:
        # A page from elsewhere can let its own name point at this machine; then the browser sends that name.
        return (self.headers.get("Host") or "").rpartition(":")[0] in _OURS

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the terminal."""
