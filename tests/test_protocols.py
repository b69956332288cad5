"""Shipped protocols and published scores: every field and every score has a source."""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import fields, replace

import pytest
from posegen_metrics.protocols import PROTOCOLS
from posegen_metrics.published import PUBLISHED

from posegen import catalogue, plugins
from posegen.cli import main
from posegen.evaluation import ImageMetric, Protocol, PublishedScore, SetMetric, get_protocol, protocols, variations
from posegen.registry import METRICS, STRUCTURE_ENCODERS

HASHES = {
    "posegen-clean": "3d9f0fe12580",
    "posegen-clean-people": "9fa8e215b1ba",
    "gfla-market": "5fbdcbc1841d",
    "gfla-fashion": "e2d4491e54e3",
    "patn-market": "758333e2566b",
    "patn-fashion": "4294693f98b6",
    "nted-pidm": "a5831b6c0328",
    "cfld": "46feb1254778",
}
"""Golden. Scores are comparable only under the same hash, so a changed hash makes all stored scores incomparable. Add a
protocol under another name instead, or state the change in the changelog."""

SCORING = {field.name for field in fields(Protocol)} - {"name", "citation", "sources", "metrics"}
PROTOCOL = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)


def test_plugins_bring_the_protocols():
    assert set(protocols()) >= {protocol.name for protocol in PROTOCOLS}
    assert {protocol.name for protocol in PROTOCOLS} == set(HASHES)


@PROTOCOL
def test_hashes_are_stable(protocol):
    assert protocol.hash == HASHES[protocol.name]


def test_no_two_protocols_are_the_same():
    assert len({protocol.hash for protocol in PROTOCOLS}) == len(PROTOCOLS)


@PROTOCOL
def test_every_choice_has_a_source(protocol):
    assert set(protocol.sources) == SCORING | {f"metrics.{name}" for name in protocol.metrics}
    assert protocol.citation
    assert all(len(source) > 15 for source in protocol.sources.values())  # a sentence, not a shrug


@PROTOCOL
def test_a_guess_states_its_value(protocol):
    for name in protocol.unknown:
        assert ", taken as " in protocol.sources[name]


def test_the_projects_protocols_have_no_guesses():
    assert get_protocol("posegen-clean").unknown == []


@PROTOCOL
def test_every_argument_is_written_out(protocol):  # so that no default can change a score behind the same hash
    plugins.load()
    parts = [(METRICS, part) for part in protocol.metrics.values()]
    parts += [(STRUCTURE_ENCODERS, protocol.mask)] if protocol.mask else []
    for registry, part in parts:
        arguments = set(inspect.signature(registry.get(part["type"])).parameters)
        assert set(part) - {"type"} == arguments - {"weights", "prefix"}, part["type"]


@PROTOCOL
def test_every_metric_can_be_named_in_a_config(protocol):
    plugins.load()
    for part in protocol.metrics.values():
        metric = METRICS.get(part["type"])
        assert issubclass(metric, (ImageMetric, SetMetric))
        for argument, choices in metric.variants.items():
            assert part.get(argument, choices[0]) in choices


@PROTOCOL
def test_a_metric_that_needs_no_weights_builds_as_the_protocol_says(protocol):
    for name, part in protocol.metrics.items():
        if part["type"] in ("SSIM", "PSNR", "MaskedSSIM", "L1"):
            assert isinstance(METRICS.build_part(dict(part)), ImageMetric), name


@PROTOCOL
def test_masked_metrics_have_a_mask_and_no_other_protocol_has(protocol):
    masked = any(part["type"].startswith("Masked") for part in protocol.metrics.values())
    assert masked == (protocol.mask is not None)
    if masked:
        plugins.load()
        assert STRUCTURE_ENCODERS.build_part(dict(protocol.mask))


@PROTOCOL
def test_a_protocol_can_be_written_and_read(protocol, tmp_path):
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({"definition": protocol.to_dict()}))
    assert get_protocol(path).hash == protocol.hash


@PROTOCOL
def test_every_single_change_of_a_protocol_has_another_hash(protocol):
    plugins.load()
    changed = dict(variations(protocol))
    assert len({each.hash for each in changed.values()} | {protocol.hash}) == len(changed) + 1


def test_posegen_clean_scores_images_of_any_size():
    ours = get_protocol("posegen-clean")
    assert ours.size is None
    assert ours.real == "targets"  # nothing has to be given besides the pairs


@PROTOCOL
def test_show_prints_every_field_with_its_source_and_names_guesses(protocol, capsys):
    assert main(["show", "protocol", protocol.name]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{protocol.name}, protocol {protocol.hash}: {protocol.citation}"
    for name, source in protocol.sources.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith(source)
    guesses = "Not published, so these values are guesses: " + ", ".join(protocol.unknown)
    assert (guesses in lines) == bool(protocol.unknown)


def test_show_reads_a_file_and_suggests_names(tmp_path, capsys):
    mine = replace(get_protocol("posegen-clean"), name="mine", padding="white-square")
    (tmp_path / "mine.json").write_text(json.dumps(mine.to_dict()))
    assert main(["show", "protocol", str(tmp_path / "mine.json")]) == 0
    assert f"mine, protocol {mine.hash}" in capsys.readouterr().out
    assert main(["show", "protocol", "gfla-markt"]) == 1
    assert "did you mean 'gfla-market'" in capsys.readouterr().err


# Published scores -----------------------------------------------------------------------------------------


def test_plugins_bring_published_scores():
    assert catalogue.all(PublishedScore) == list(PUBLISHED)


@pytest.mark.parametrize("score", PUBLISHED, ids=lambda score: f"{score.method}, {score.source[:40]}")
def test_a_published_score_has_a_source_and_a_protocol_or_a_reason(score):
    assert "issue" in score.source or "arXiv" in score.source
    assert score.data
    assert score.protocol or score.note, "why can it not be compared?"
    if score.protocol:
        assert set(score.values) <= set(get_protocol(score.protocol).metrics)


@pytest.mark.parametrize("score", PUBLISHED, ids=lambda score: f"{score.method}, {score.source[:40]}")
def test_published_scores_are_on_the_reported_scale(score):
    ranges = {"ssim": 1, "ssim_256": 1, "mask_ssim": 1, "lpips": 1, "mask_lpips": 1, "psnr": 60, "fid": 100}
    for name, value in score.values.items():
        assert math.isfinite(value)
        assert 0 < value < ranges.get(name, 1000)


def test_the_scores_of_the_paper_are_exact():
    market, fashion = (score for score in PUBLISHED if score.method == "GFLA")
    assert market.values == {"fid": 19.751, "lpips": 0.2817, "mask_lpips": 0.1482}
    assert fashion.values == {"fid": 10.573, "lpips": 0.2341}
