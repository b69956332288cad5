"""Play with a model on a local page: drag a pose, see the result, ask where each point of it comes from."""

from __future__ import annotations

import argparse
import threading

from ..app import Studio
from .common import add_config, add_model, build_inferencer

LOOPBACK = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen app``."""
    add_config(parser)
    add_model(parser)
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any that is free)")
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        help="address to listen on (default 127.0.0.1: this machine alone); 0.0.0.0 lets everybody in who reaches it",
    )
    parser.add_argument("--examples", type=int, default=8, metavar="N", help="pairs of the test set (default 8)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")


def run(parsed: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; returns 0."""
    from ..app.server import launch  # Gradio takes seconds to import, and no other command needs it

    studio = Studio(build_inferencer(parsed), parsed.examples)
    page, address = launch(studio, parsed.config.stem, parsed.host, parsed.port)
    if studio.note:
        print(f"note: no examples: {studio.note}")
    if parsed.host != LOOPBACK:
        print(f"warning: everybody who reaches {parsed.host} can use this page, without a password")
    print(f"open {address} in a browser; Ctrl-C ends", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    finally:
        page.close()
    return 0
