"""Gradio with telemetry off, custom components, and a server limited to this machine: shared by the pages we ship."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import urllib.request
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from posegen.errors import ConfigError

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported

try:
    import gradio as gr
except ImportError as error:
    raise ConfigError(
        f'This command needs Gradio, which cannot be imported ({error}). Install it: pip install "posegen[app]"'
    ) from None

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["component", "gr", "serve", "wait_for_interrupt"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHARE_HOSTS = "*.gradio.live"
"""Names under which Gradio's server forwards a page."""
MAX_FILE_BYTES = 32 << 20
"""Maximum size of an uploaded file."""
MAX_WAITING = 64
"""Maximum number of queued requests; further ones are refused with a message."""
MAX_SESSIONS = 200
"""Maximum number of browser sessions with stored pictures, about 5 MB each; the longest idle one is dropped first."""

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' "
    "'unsafe-inline'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),  # the browser loads nothing from other hosts
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
ACCENT = "#1d4ed8"
"""Color of whatever is chosen or moved; ``var(--color-accent)`` in style sheets."""
FONTS = ["system-ui", "sans-serif"]  # local fonts: Gradio's default ones are downloaded


class Guard:
    """ASGI middleware: refuse large request bodies and add :data:`HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        app = self.app
        if scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH"):
            length = dict(scope["headers"]).get(b"content-length", b"")
            if not length.isdigit():
                app = PlainTextResponse("Content-Length is required.", 411)
            elif int(length) > 2 * MAX_FILE_BYTES:
                app = PlainTextResponse(f"The request exceeds {2 * MAX_FILE_BYTES:,} bytes.", 413)
        await app(scope, receive, send_with_headers)


def component(package: str, name: str, constants: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> gr.HTML:
    """Build a custom component from ``components/NAME.html``, ``.css`` and ``.js`` of a package.

    Args:
        package, name: where the files lie.
        constants: values that never change, ``constants`` in the script. As properties they could be lost: an update
            replaces all properties of a component that the browser has not built yet, as in a closed accordion.
        options: value and properties, ``props`` in the script, and options of ``gr.HTML``.
    """
    folder = files(package) / "components"
    html, css, js = ((folder / f"{name}.{ending}").read_text(encoding="utf-8") for ending in ("html", "css", "js"))
    js = f"const constants = {json.dumps(dict(constants))};\n{js}"
    return gr.HTML(html_template=html, css_template=css, js_on_load=js, apply_default_css=False, **options)


def serve(page: gr.Blocks, host: str = LOOPBACK[0], port: int = 0, css: str = "", share: bool = False) -> str:
    """Serve a page from background threads, until ``page.close()``.

    Args:
        page: the page.
        host: address to listen on. Other than a loopback address, it gives access to everyone who reaches it.
        port: 0 takes any free port.
        css: additional style sheet.
        share: also open a link through Gradio's server, ``page.share_url``; Gradio prints it.

    Returns:
        The address of the page.

    Raises:
        ConfigError: the host or port is unavailable, or the link cannot be opened.
    """
    _reach_without_proxy(host)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=1)
    # A page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding); its requests carry that name.
    hosts = [*LOOPBACK, "[::1]", *([SHARE_HOSTS] if share else [])] if host in LOOPBACK else ["*"]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Guard)]
    _, address, _ = page.launch(
        server_name=host,
        server_port=_available_port(host, port),
        prevent_thread_lock=True,
        quiet=True,
        share=share,
        inbrowser=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        footer_links=[],
        allowed_paths=[],
        max_file_size=MAX_FILE_BYTES,
        max_threads=8,
        _frontend=False,  # or Gradio gives up where its own page takes more than three seconds
        state_session_capacity=MAX_SESSIONS,
        theme=gr.themes.Default(
            primary_hue="blue", secondary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"]
        ).set(color_accent=ACCENT, slider_color=ACCENT, slider_color_dark=ACCENT),
        css=css,
        i18n=gr.I18n(en={"common.complete": "Done"}),  # which Gradio reads out, and has no text for
        app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    if share and page.share_url is None:
        page.close(verbose=False)
        raise ConfigError("the link cannot be opened, see above; without --share-link the page stays on this machine")
    return address


def wait_for_interrupt(page: gr.Blocks) -> None:
    """Block until Ctrl-C, then close the page."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    finally:
        page.close(verbose=False)


def _reach_without_proxy(host: str) -> None:
    """Exclude the page from the proxy that the environment names, if any: Gradio asks its own server at the start."""
    proxies = urllib.request.getproxies_environment()
    if proxies:  # else the system's own proxies would be ignored from here on
        excluded = proxies.get("no", "").split(",")
        os.environ["no_proxy"] = ",".join(dict.fromkeys([*filter(None, excluded), *LOOPBACK, host]))


def _available_port(host: str, port: int) -> int:
    try:
        with socket.create_server((host, port)) as probe:
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = "probably in use" if getattr(error, "errno", None) == errno.EADDRINUSE else str(error)
        if port:
            raise ConfigError(f"Port {port} is unavailable, {reason}. Choose another with --port.") from error
        raise ConfigError(f"Cannot listen on {host}: {error}") from error
