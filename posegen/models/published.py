"""Names of the published model's weights, and ours for the same. Data for the converter and the golden tests.

The published file stores two convolutions twice under two names (``jumpN.conv1`` is ``jumpN.model.2``); reading it
loads both in that order, so the second holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_BLOCK = {"0": "norm1", "2": "conv1", "3": "norm2", "5": "conv2"}
_DOWN = {"1": "conv1", "3": "conv2"}
_SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
ALIASES = re.compile(r"(?:^|\.)(?:jump\d+|outconv)\.conv1\.(?:weight|bias)$")
"""Published names whose array stands a second time under ``….model.2.…``."""

Rule = tuple[str, Callable[[re.Match, int], str]]


def _encoder_index(match: re.Match) -> int:
    return 0 if match["block"] == "block0" else int(match["block"].removeprefix("encoder")) + 1


_ENCODE = r"(?P<block>block0|encoder\d+)\.model\.(?P<layer>[0235])\.(?P<what>weight|bias)"

FLOW_RULES: list[Rule] = [  # `depth` counts levels; decoder i brings level depth - 1 - i
    (
        rf"flow_net\.{_ENCODE}",
        lambda m, depth: f"flow_estimator.encoder.{_encoder_index(m)}.{_BLOCK[m['layer']]}.{m['what']}",
    ),
    (
        r"flow_net\.decoder(?P<i>\d+)\.model\.(?P<layer>[0235])\.(?P<what>weight|bias)",
        lambda m, depth: f"flow_estimator.decoder.{depth - 1 - int(m['i'])}.{_BLOCK[m['layer']]}.{m['what']}",
    ),
    (
        r"flow_net\.decoder(?P<i>\d+)\.shortcut\.0\.(?P<what>weight|bias)",
        lambda m, depth: f"flow_estimator.decoder.{depth - 1 - int(m['i'])}.side.{m['what']}",
    ),
    (
        r"flow_net\.jump(?P<i>\d+)\.model\.2\.(?P<what>weight|bias)",
        lambda m, depth: f"flow_estimator.skip.{depth - 1 - int(m['i'])}.conv.{m['what']}",
    ),
    (
        r"flow_net\.output(?P<i>\d+)\.(?P<what>weight|bias)",
        lambda m, depth: f"flow_estimator.to_flow.{depth - 1 - int(m['i'])}.{m['what']}",
    ),
    (
        r"flow_net\.mask(?P<i>\d+)\.0\.(?P<what>weight|bias)",
        lambda m, depth: f"flow_estimator.to_mask.{depth - 1 - int(m['i'])}.{m['what']}",
    ),
]

RENDERER_RULES: list[Rule] = [  # decoder i works at level depth - i
    (
        rf"source\.{_ENCODE}",
        lambda m, depth: f"renderer.source_encoder.{_encoder_index(m)}.{_BLOCK[m['layer']]}.{m['what']}",
    ),
    (
        rf"target\.{_ENCODE}",
        lambda m, depth: f"renderer.target_encoder.{_encoder_index(m)}.{_BLOCK[m['layer']]}.{m['what']}",
    ),
    (
        r"target\.decoder(?P<i>\d+)\.0\.model\.0\.model\.(?P<layer>[0235])\.(?P<what>weight|bias)",
        lambda m, depth: f"renderer.residual.{depth - int(m['i'])}.{_BLOCK[m['layer']]}.{m['what']}",
    ),
    (
        r"target\.decoder(?P<i>\d+)\.1\.model\.(?P<layer>[0235])\.(?P<what>weight|bias)",
        lambda m, depth: f"renderer.up.{depth - int(m['i'])}.{_BLOCK[m['layer']]}.{m['what']}",
    ),
    (
        r"target\.decoder(?P<i>\d+)\.1\.shortcut\.0\.(?P<what>weight|bias)",
        lambda m, depth: f"renderer.up.{depth - int(m['i'])}.side.{m['what']}",
    ),
    (
        r"target\.attn(?P<i>\d+)\.fully_connect_layer\.(?P<layer>[02])\.(?P<what>weight|bias)",
        lambda m, depth: (
            f"renderer.attention.{depth - int(m['i'])}."
            f"{'patch_conv' if m['layer'] == '0' else 'kernel_conv'}.{m['what']}"
        ),
    ),
    (r"target\.outconv\.model\.2\.(?P<what>weight|bias)", lambda m, depth: f"renderer.to_image.conv.{m['what']}"),
]

DISCRIMINATOR_RULES: list[Rule] = [
    (
        r"(?P<block>block0|encoder\d+)\.model\.(?P<layer>[13])\.(?P<what>\w+)",
        lambda m, depth: f"down.{_encoder_index(m)}.{_DOWN[m['layer']]}.{_SPECTRAL.get(m['what'], m['what'])}",
    ),
    (
        r"(?P<block>block0|encoder\d+)\.shortcut\.1\.(?P<what>\w+)",
        lambda m, depth: f"down.{_encoder_index(m)}.side.{_SPECTRAL.get(m['what'], m['what'])}",
    ),
    (r"conv\.(?P<what>\w+)", lambda m, depth: f"to_logits.{_SPECTRAL.get(m['what'], m['what'])}"),
]


def our_name(published: str, rules: Iterable[Rule], depth: int) -> str | None:
    """Our name for a published weight, None where no rule knows it. *depth*: of the network the rules are for."""
    for pattern, name in rules:
        match = re.fullmatch(pattern, published)
        if match:
            return name(match, depth)
    return None
