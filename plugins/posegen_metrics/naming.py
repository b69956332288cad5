"""Naming conventions of published methods.

PATN and its follow-ups write strips of source, source structure, target, target structure and result, one file per
pair. Such a file is five times as wide as its target and must be cut before it can be scored.
"""

from __future__ import annotations

from posegen.evaluation.pairing import NamingConvention

UNKNOWN = (
    "unknown, taken as one of the names that NTED, PIDM and CFLD may use: neither their READMEs nor their issues say "
    "how results are named"
)
DEEPFASHION = ("fashion", "fasion", "deepfashion")
"""Prefixes of paths in lists of DeepFashion: the published spellings, and PIDM's (its issue 37)."""

CONVENTIONS = (
    NamingConvention(
        "gfla",
        "{source}_2_{target}_vis",
        "fashionMENDenimid0000008001_1front_2_fashionMENDenimid0000008001_2side_vis.jpg",
        "docs/formats.md; `posegen test --save-images` writes these names",
        DEEPFASHION,
    ),
    NamingConvention(
        "patn",
        "{source}___{target}_vis",
        "0265_c6s1_056351_01.jpg___0265_c3s1_062642_05.jpg_vis.jpg",
        "Ha0Tang/XingGAN issue 5, made with PATN's scripts; that the files are strips of five: "
        "budui/Human-Pose-Transfer issue 6",
        DEEPFASHION,
    ),
    NamingConvention(
        "deformable-gan",
        "{source}.jpg_{target}.jpg",
        "fasionWOMENTeesTanksid0000350408_3back.jpg_fasionWOMENTeesTanksid0000350408_1front.jpg.png",
        "AliaksandrSiarohin/pose-gan issue 3",
        DEEPFASHION,
    ),
    NamingConvention(
        "source-2-target",
        "{source}_2_{target}",
        "0002_c1s1_000451_03_2_0002_c1s1_000776_01.png",
        UNKNOWN,
        DEEPFASHION,
    ),
    NamingConvention(
        "source-to-target",
        "{source}_to_{target}",
        "0002_c1s1_000451_03_to_0002_c1s1_000776_01.png",
        UNKNOWN,
        DEEPFASHION,
    ),
    NamingConvention(
        "same-name",
        "{target}",
        "0002_c1s1_000776_01.png",
        "the custom of image-to-image translation; one result per target, for any source",
        DEEPFASHION,
    ),
)
