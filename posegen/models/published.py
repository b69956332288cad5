"""Names of the published models' weights, and ours for the same. Data for the converter and the golden tests.

A network class that has published weights says so in its attribute ``published``: rules from a published name to the
name of the same weight in the network. A published name is matched whole.

The published files store two convolutions twice under two names (``jumpN.conv1`` is ``jumpN.model.2``); reading them
loads both in that order, so the second holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

BLOCK = {"0": "norm1", "2": "conv1", "3": "norm2", "5": "conv2"}
"""Layers of a published block with norms, and ours."""
DOWN = {"1": "conv1", "3": "conv2"}
"""The same of a block without."""
SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
ALIASES = re.compile(r"(?:^|\.)(?:jump\d+|outconv)\.conv1\.(?:weight|bias)$")
"""Published names whose array stands a second time under ``….model.2.…``."""

Rule = tuple[str, Callable[[re.Match, Any], str]]
"""A pattern of published names, and what makes ours of a match, given the network (for its ``depth``)."""

LAYER = r"model\.(?P<layer>[0235])\.(?P<what>weight|bias)"
SIDE = r"shortcut\.0\.(?P<what>weight|bias)"


def our_name(published: str, network: nn.Module) -> str | None:
    """The name in *network* of a published weight, None where its rules do not know it."""
    for pattern, name in getattr(network, "published", ()):
        match = re.fullmatch(pattern, published)
        if match:
            return name(match, network)
    return None


def block_rules(published: str, ours: str, side: str = SIDE) -> list[Rule]:
    """Of one block with norms, whose side path is called *side*."""
    return [
        (rf"{published}\.{LAYER}", lambda m, network: f"{ours}.{BLOCK[m['layer']]}.{m['what']}"),
        (rf"{published}\.{side}", lambda m, network: f"{ours}.side.{m['what']}"),
    ]


def encoder_rules(published: str, ours: str) -> list[Rule]:
    """Of a row of Encode blocks: ``block0``, ``encoder0``, ``encoder1``, …"""
    pattern = rf"{published}\.(?P<block>block0|encoder\d+)\.{LAYER}"
    return [(pattern, lambda m, network: f"{ours}.{_encoder_index(m)}.{BLOCK[m['layer']]}.{m['what']}")]


def flow_rules(published: str, ours: str = "") -> list[Rule]:
    """Of a flow estimator that is called *published* in the published model and *ours*, with its dot, in ours.

    Decoder i brings level depth - 1 - i.
    """

    def level(match: re.Match, network: Any) -> int:
        return network.depth - 1 - int(match["i"])

    number, what = r"(?P<i>\d+)", r"(?P<what>weight|bias)"
    return [
        *encoder_rules(published, f"{ours}encoder"),
        (
            rf"{published}\.decoder{number}\.{LAYER}",
            lambda m, net: f"{ours}decoder.{level(m, net)}.{BLOCK[m['layer']]}.{m['what']}",
        ),
        (
            rf"{published}\.decoder{number}\.{SIDE}",
            lambda m, net: f"{ours}decoder.{level(m, net)}.side.{m['what']}",
        ),
        (
            rf"{published}\.jump{number}\.model\.2\.{what}",
            lambda m, net: f"{ours}skip.{level(m, net)}.conv.{m['what']}",
        ),
        (rf"{published}\.output{number}\.{what}", lambda m, net: f"{ours}to_flow.{level(m, net)}.{m['what']}"),
        (rf"{published}\.mask{number}\.0\.{what}", lambda m, net: f"{ours}to_mask.{level(m, net)}.{m['what']}"),
    ]


def renderer_rules(encoders: Mapping[str, str], attentions: Mapping[str, str]) -> list[Rule]:
    """Of a renderer. Decoder i works at level depth - i.

    Args:
        encoders: our names of the encoders by their published ones.
        attentions: our names of the rows of attention blocks by their published ones.
    """

    def level(match: re.Match, network: Any) -> int:
        return network.depth - int(match["i"])

    number, what = r"(?P<i>\d+)", r"(?P<what>weight|bias)"
    rules: list[Rule] = [rule for theirs, ours in encoders.items() for rule in encoder_rules(theirs, ours)]
    layers = {"0": "patch_conv", "2": "kernel_conv"}

    def attention(ours: str) -> Callable[[re.Match, Any], str]:
        return lambda m, net: f"{ours}.{level(m, net)}.{layers[m['layer']]}.{m['what']}"

    for theirs, ours in attentions.items():
        pattern = rf"target\.{theirs}{number}\.fully_connect_layer\.(?P<layer>[02])\.{what}"
        rules.append((pattern, attention(ours)))
    return [
        *rules,
        (
            rf"target\.decoder{number}\.0\.model\.0\.{LAYER}",
            lambda m, net: f"residual.{level(m, net)}.{BLOCK[m['layer']]}.{m['what']}",
        ),
        (
            rf"target\.decoder{number}\.1\.{LAYER}",
            lambda m, net: f"up.{level(m, net)}.{BLOCK[m['layer']]}.{m['what']}",
        ),
        (rf"target\.decoder{number}\.1\.{SIDE}", lambda m, net: f"up.{level(m, net)}.side.{m['what']}"),
        (rf"target\.outconv\.model\.2\.{what}", lambda m, net: f"to_image.conv.{m['what']}"),
    ]


def discriminator_rules(block: str = "block0|encoder\\d+", index: Callable[[str], int] | None = None) -> list[Rule]:
    """Of a discriminator: its Down blocks, and the convolution to logits.

    Args:
        block: pattern of the blocks' published names.
        index: the place of a block by its published name; default: ``block0``, ``encoder0``, ``encoder1``, …
    """

    def place(match: re.Match) -> int:
        return index(match["block"]) if index is not None else _encoder_index(match)

    return [
        (
            rf"(?P<block>{block})\.model\.(?P<layer>[13])\.(?P<what>\w+)",
            lambda m, network: f"down.{place(m)}.{DOWN[m['layer']]}.{SPECTRAL.get(m['what'], m['what'])}",
        ),
        (
            rf"(?P<block>{block})\.shortcut\.1\.(?P<what>\w+)",
            lambda m, network: f"down.{place(m)}.side.{SPECTRAL.get(m['what'], m['what'])}",
        ),
        (r"conv\.(?P<what>\w+)", lambda m, network: f"to_logits.{SPECTRAL.get(m['what'], m['what'])}"),
    ]


def _encoder_index(match: re.Match) -> int:
    return 0 if match["block"] == "block0" else int(match["block"].removeprefix("encoder")) + 1
