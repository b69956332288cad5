"""The page served: to this machine alone unless another is asked for, with limits on everything that comes in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from ..errors import ConfigError
from ._gradio import gr
from .page import CSS, FONTS, build_page
from .studio import Studio

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_UPLOADED = 32 << 20
"""Bytes of a file that is uploaded."""
MOST_WAITING = 64
"""Requests that wait for the model; one more is told that it is busy."""
MOST_SESSIONS = 200
"""Browsers whose pictures are kept, about 5 MB each; of more, those that were idle longest are forgotten."""

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' "
    "'unsafe-inline'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),  # a browser fetches nothing from elsewhere, whatever the page says
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Guard:
    """ASGI middleware: refuses requests that are too large or name another host, and adds :data:`HEADERS`.

    Args:
        app: what is guarded.
        hosts: names that the Host header may have; a page elsewhere whose name was made to point here (DNS rebinding)
            sends its own. None: any.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], hosts: tuple[str, ...] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, words = self._refused(scope)
        if status:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": words.encode()})
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _refused(self, scope: Scope) -> tuple[int, str]:
        """Status and reason; 0: the request is let in."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if self.hosts is not None and name.strip("[]") not in self.hosts:
            return 403, "this page is served at 127.0.0.1 and localhost only"
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            return 0, ""
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "say how long it is"
        return (413, f"more than {2 * MOST_UPLOADED:,} bytes") if int(length) > 2 * MOST_UPLOADED else (0, "")


def launch(studios: Sequence[Studio], title: str, host: str = "127.0.0.1", port: int = 0) -> tuple[gr.Blocks, str]:
    """Serve the page of a model from threads of their own; ``close()`` of what is returned ends it.

    Args:
        studios: the model, and those it is compared with.
        title: of the page.
        host: address to listen on; another than this machine's loopback lets others in, without a password.
        port: 0: any that is free.

    Returns:
        The page, and its address.

    Raises:
        ConfigError: the address cannot be had.
    """
    page = build_page(studios, title)
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=1)
    hosts = LOOPBACK if host in LOOPBACK else None
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port or _free_port(host),
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            inbrowser=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            footer_links=[],
            allowed_paths=[],
            max_file_size=MOST_UPLOADED,
            max_threads=8,
            state_session_capacity=MOST_SESSIONS,
            theme=gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            app_kwargs={"middleware": [_guard(hosts)], "docs_url": None, "redoc_url": None, "openapi_url": None},
        )
    except (OSError, OverflowError) as error:
        why = "it is in use, or not this machine's" if "empty port" in str(error) else error  # Gradio's words
        raise ConfigError(f"{host}:{port} cannot be had: {why}; give another --port, or none for any free") from error
    return page, address


def _guard(hosts: tuple[str, ...] | None) -> Any:
    from starlette.middleware import Middleware

    return Middleware(Guard, hosts=hosts)


def _free_port(host: str) -> int:
    import socket

    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])
