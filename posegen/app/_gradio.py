"""Gradio, imported here alone: ``from ._gradio import gr``."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio looks when it is imported; nothing leaves this machine

try:
    import gradio as gr
except ImportError as error:
    from ..errors import ConfigError

    raise ConfigError(
        f"the page needs Gradio, which cannot be imported ({error}): pip install 'posegen[app]'"
    ) from None

__all__ = ["gr"]
