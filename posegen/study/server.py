"""The page of a study, served to this machine alone."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError, DataError
from .session import Refused, Session

ADDRESS = "127.0.0.1"
HOSTS = {ADDRESS, "localhost"}
MOST_BYTES = 1024
"""The longest body of a request: an answer has under a hundred."""

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
POLICY = (
    "default-src 'none'; style-src 'nonce-{0}'; script-src 'nonce-{0}'; connect-src 'self'; img-src blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class StudyServer(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1. The address holds a random token, without which everything is refused: other
    users of the machine, and pages from elsewhere, do not know it.

    Args:
        session: what is served.
        port: 0: any that is free.

    Raises:
        ConfigError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(16)
        try:
            super().__init__((ADDRESS, port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"--port {port} cannot be had: {error}; give another, or none for any free one"
            ) from error

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an image is no error."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request. Only what the tables below name is answered; nothing of a request becomes part of a path."""

    server: StudyServer
    server_version, sys_version = "posegen", ""
    timeout = 60  # seconds that a connection may be silent

    def do_GET(self) -> None:
        """The page, the state, and the images of the trial that is next."""
        rest = self._admitted()
        if rest is None:
            return
        image = re.fullmatch(r"image/([0-9]{1,9})/([a-z]{1,9})", rest)
        if rest == "":
            self._send_page()
        elif rest == "state":
            self._send_json(self.server.session.state())
        elif image:
            self._send_image(int(image[1]), image[2])
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """An answer, or an undo."""
        rest = self._admitted()
        if rest is None:
            return
        session = self.server.session
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "answer": lambda data: session.answer(data.get("trial"), data.get("choice"), data.get("milliseconds")),
            "undo": lambda data: session.undo(data.get("trial")),
        }
        if rest not in actions:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        data = self._body()
        if data is None:
            return
        try:
            self._send_json(actions[rest](data))
        except Refused as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))
        except DataError as error:
            self._fail(error)

    def _admitted(self) -> str | None:
        """What follows the token in the address. None: the request was refused.

        The Host header must name this machine: a page whose name was made to point here (DNS rebinding) sends its own.
        Ports are free, so that one can be forwarded under another number.
        """
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            host = None
        if host not in HOSTS:
            self._refuse(HTTPStatus.FORBIDDEN, "the study is served at 127.0.0.1 and localhost only")
            return None
        token, slash, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that posegen study printed, all of it")
            return None
        return rest

    def _body(self) -> dict[str, Any] | None:
        """The JSON object of a request. None: the request was refused."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        if int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return None
        try:
            data = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            self._refuse(HTTPStatus.BAD_REQUEST, "not a JSON object")
            return None
        return data

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = files(__package__).joinpath("page.html").read_text(encoding="utf-8").replace("{{nonce}}", nonce)
        self._send(
            page.encode(),
            "text/html; charset=utf-8",
            HTTPStatus.OK,
            **{"Content-Security-Policy": POLICY.format(nonce)},
        )

    def _send_json(self, data: dict[str, Any]) -> None:
        self._send(json.dumps(data).encode(), "application/json")

    def _send_image(self, number: int, side: str) -> None:
        try:
            content = self.server.session.image(number, side)
        except Refused:
            self._refuse(HTTPStatus.NOT_FOUND)
        except DataError as error:
            self._fail(error)
        else:
            self._send(content, "image/png")

    def _fail(self, error: DataError) -> None:
        """A file that cannot be read or written. Its name is for the terminal, not for the rater."""
        print(f"error: {error}", file=sys.stderr)
        self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "a file cannot be read or written; the terminal says which")

    def _refuse(self, status: HTTPStatus, words: str = "") -> None:
        """An error. What is left of the request is not read."""
        self._send((words or status.phrase).encode(), "text/plain; charset=utf-8", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for the address and the result."""
