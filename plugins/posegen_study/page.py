"""The page of a study."""

from __future__ import annotations

import base64
import html
import secrets
import sys
from collections.abc import Callable
from typing import Any

from posegen_app.web import component, gr, serve

from posegen.errors import DataError

from .session import Refused, Session
from .statistics import report_rows


def launch(session: Session, port: int = 0) -> tuple[gr.Blocks, str]:
    """Serve the page of a session on this machine; returns the page and its address.

    The address contains a random token, without which the page shows nothing: other users of the machine, and pages
    from elsewhere, do not know it.

    Raises:
        ConfigError: the port is unavailable.
    """
    token = secrets.token_urlsafe(16)
    page = build_page(session, token)
    return page, f"{serve(page, port=port)}?token={token}"


def build_page(session: Session, token: str) -> gr.Blocks:
    """Build the page of a session for browsers that know the token."""

    def respond(request: gr.Request, action: Callable[[], Any] = lambda: None, show: bool = True) -> tuple[Any, str]:
        """Perform an action; return the state of the session, and the results after the last trial."""
        if not secrets.compare_digest(str(request.query_params.get("token")).encode(), token.encode()):
            return {"message": "Open the complete address that `posegen study` printed."}, ""
        try:
            action()
        except Refused:
            pass  # answered twice, or in another window: continue with the next trial
        except DataError as error:
            return _failed(error), ""
        if session.finished:
            return _state(session), _table(report_rows(session.study, session.record.answers))
        try:
            return _state(session) | (_images(session) if show else {}), ""
        except DataError as error:
            return _failed(error), ""

    def load(request: gr.Request) -> tuple[Any, str]:
        return respond(request, show=False)

    def show(request: gr.Request) -> tuple[Any, str]:
        return respond(request)

    def answer(request: gr.Request, event: gr.EventData) -> tuple[Any, str]:
        sent = event._data or {}
        return respond(request, lambda: session.answer(*map(sent.get, ("trial", "choice", "milliseconds"))))

    def undo(request: gr.Request, event: gr.EventData) -> tuple[Any, str]:
        return respond(request, lambda: session.undo((event._data or {}).get("trial")))

    with gr.Blocks(title="Which image?", analytics_enabled=False) as page:
        pair = component(__package__, "pair", elem_id="pair", value=None)
        results = gr.HTML("", elem_id="results", js_on_load=None)
        options: dict[str, Any] = dict(
            outputs=[pair, results], concurrency_id="session", show_progress="hidden", api_visibility="private"
        )
        page.load(load, None, **options)
        for event, function in ((pair.show, show), (pair.answer, answer), (pair.undo, undo)):
            event(function, None, **options)
    return page


def _state(session: Session) -> dict[str, Any]:
    """Describe the progress; neither files nor results are part of it."""
    return {
        "trial": session.next_trial,
        "trials": len(session.trials),
        "rater": session.rater,
        "question": session.study.question,
        "seconds": session.study.seconds,
        "finished": session.finished,
    }


def _images(session: Session) -> dict[str, Any]:
    encoded = {shown: base64.b64encode(png).decode() for shown, png in session.images().items()}
    return {"images": {shown: f"data:image/png;base64,{content}" for shown, content in encoded.items()}}


def _failed(error: DataError) -> dict[str, str]:
    """Print an error to the terminal; the rater must not see file names."""
    print(f"error: {error}", file=sys.stderr)
    return {"message": "A file cannot be read or written; see the terminal. Reload this page to continue."}


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>' for name, value in rows)
    return f"<table><tbody>{''.join(cells)}</tbody></table>"
