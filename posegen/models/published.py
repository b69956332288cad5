"""Map the published models' weight names to ours: data for the converter and the golden tests.

The attribute ``published`` of a network class holds its rules, each from a published name to the name of the same
weight in the network. A pattern matches a whole name.

The published files store two convolutions twice (``jumpN.conv1`` is ``jumpN.model.2``). The published loader reads both
copies in file order, so the second one counts; ours skips the first (`ALIASES`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

BLOCK = {"0": "norm1", "2": "conv1", "3": "norm2", "5": "conv2"}
"""Our names of the layers of a published block with norms."""
DOWN = {"1": "conv1", "3": "conv2"}
"""Our names of the layers of a published block without norms."""
ATTENTION = {"0": "patch_conv", "2": "kernel_conv"}
"""Our names of the layers of a published local attention block."""
SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
"""Our names of what spectral norm stores."""
ALIASES = re.compile(r"(?:^|\.)(?:jump\d+|outconv)\.conv1\.(?:weight|bias)$")
"""Published names of arrays that are stored a second time under ``….model.2.…``."""

Rule = tuple[str, Callable[[re.Match, Any], str]]
"""A pattern of published names, and a function of a match and the network that returns our name."""

NUMBER = r"(?P<i>\d+)"
"""Pattern of the number of a published block."""
WHAT = r"(?P<what>weight|bias)"
"""Pattern of the name of an array."""
LAYER = rf"model\.(?P<layer>[0235])\.{WHAT}"
"""Pattern of a layer on the main path of a block with norms."""
SIDE = rf"shortcut\.0\.{WHAT}"
"""Pattern of the convolution on the side path of a block."""


def our_name(published: str, network: Any) -> str | None:
    """Return the name in *network* of a published weight; None: no rule of the network matches."""
    for pattern, name in network.published:
        match = re.fullmatch(pattern, published)
        if match:
            return name(match, network)
    return None


def is_published(state: Iterable[str]) -> bool:
    """Return whether names of weights are those of a published model (F and G)."""
    return any(re.match(r"(module\.)?(target|(flow_net|source)(_previous|_reference)?)\.", name) for name in state)


def block_rules(published: str, ours: str) -> list[Rule]:
    """Return the rules of a block with norms."""
    return [
        (rf"{published}\.{LAYER}", lambda m, network: f"{ours}.{BLOCK[m['layer']]}.{m['what']}"),
        (rf"{published}\.{SIDE}", lambda m, network: f"{ours}.side.{m['what']}"),
    ]


def encoder_rules(published: str, ours: str) -> list[Rule]:
    """Return the rules of an encoder: ``block0``, ``encoder0``, ``encoder1``, …"""
    pattern = rf"{published}\.(?P<block>block0|encoder\d+)\.{LAYER}"
    return [(pattern, lambda m, network: f"{ours}.{_encoder_index(m['block'])}.{BLOCK[m['layer']]}.{m['what']}")]


def flow_rules(published: str, ours: str = "") -> list[Rule]:
    """Return the rules of a flow estimator.

    Args:
        published: its name in the published model. Its decoder i has level depth - 1 - i.
        ours: its prefix in our network, with the dot.
    """

    def level(match: re.Match, network: Any) -> int:
        return network.depth - 1 - int(match["i"])

    return [
        *encoder_rules(published, f"{ours}encoder"),
        (
            rf"{published}\.decoder{NUMBER}\.{LAYER}",
            lambda m, net: f"{ours}decoder.{level(m, net)}.{BLOCK[m['layer']]}.{m['what']}",
        ),
        (rf"{published}\.decoder{NUMBER}\.{SIDE}", lambda m, net: f"{ours}decoder.{level(m, net)}.side.{m['what']}"),
        (
            rf"{published}\.jump{NUMBER}\.model\.2\.{WHAT}",
            lambda m, net: f"{ours}skip.{level(m, net)}.conv.{m['what']}",
        ),
        (rf"{published}\.output{NUMBER}\.{WHAT}", lambda m, net: f"{ours}to_flow.{level(m, net)}.{m['what']}"),
        (rf"{published}\.mask{NUMBER}\.0\.{WHAT}", lambda m, net: f"{ours}to_mask.{level(m, net)}.{m['what']}"),
    ]


def renderer_rules(encoders: Mapping[str, str], attentions: Mapping[str, str]) -> list[Rule]:
    """Return the rules of a renderer. Published decoder i has level depth - i.

    Args:
        encoders: our names of the encoders by their published names.
        attentions: our names of the attention blocks by their published names.
    """

    def level(match: re.Match, network: Any) -> int:
        return network.depth - int(match["i"])

    def attention(ours: str) -> Callable[[re.Match, Any], str]:
        return lambda m, net: f"{ours}.{level(m, net)}.{ATTENTION[m['layer']]}.{m['what']}"

    rules = [rule for theirs, ours in encoders.items() for rule in encoder_rules(theirs, ours)]
    for theirs, ours in attentions.items():
        pattern = rf"target\.{theirs}{NUMBER}\.fully_connect_layer\.(?P<layer>[02])\.{WHAT}"
        rules.append((pattern, attention(ours)))
    return [
        *rules,
        (
            rf"target\.decoder{NUMBER}\.0\.model\.0\.{LAYER}",
            lambda m, net: f"residual.{level(m, net)}.{BLOCK[m['layer']]}.{m['what']}",
        ),
        (
            rf"target\.decoder{NUMBER}\.1\.{LAYER}",
            lambda m, net: f"up.{level(m, net)}.{BLOCK[m['layer']]}.{m['what']}",
        ),
        (rf"target\.decoder{NUMBER}\.1\.{SIDE}", lambda m, net: f"up.{level(m, net)}.side.{m['what']}"),
        (rf"target\.outconv\.model\.2\.{WHAT}", lambda m, net: f"to_image.conv.{m['what']}"),
    ]


def discriminator_rules() -> list[Rule]:
    """Return the rules of a discriminator: ``block0``, … (as many as ``network.blocks``), then ``encoder0``, …"""
    block, what = rf"(?P<kind>block|encoder){NUMBER}", r"(?P<what>\w+)"

    def index(match: re.Match, network: Any) -> int:
        number = int(match["i"])
        if match["kind"] == "encoder":
            return network.blocks + number
        return number if number < network.blocks else -1  # -1: the network has no such block

    return [
        (
            rf"{block}\.model\.(?P<layer>[13])\.{what}",
            lambda m, net: f"down.{index(m, net)}.{DOWN[m['layer']]}.{SPECTRAL.get(m['what'], m['what'])}",
        ),
        (
            rf"{block}\.shortcut\.1\.{what}",
            lambda m, net: f"down.{index(m, net)}.side.{SPECTRAL.get(m['what'], m['what'])}",
        ),
        (rf"conv\.{what}", lambda m, net: f"to_logits.{SPECTRAL.get(m['what'], m['what'])}"),
    ]


def _encoder_index(block: str) -> int:
    return 0 if block == "block0" else int(block.removeprefix("encoder")) + 1
