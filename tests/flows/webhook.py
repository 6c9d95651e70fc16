"""A webhook that notifications are sent to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """What it was sent until now, and its address."""

    heard: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def has(self, *words: str) -> bool:
        return any(all(word in f"{said['subject']} {said['body']}" for word in words) for said in self.heard)


@contextmanager
def webhook_server() -> Iterator[Webhook]:
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/hook?key=a-secret"
    try:
        yield found
    finally:
        server.shutdown()
