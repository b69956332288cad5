"""Reports of evaluations: their content, scores that must not be mixed, and files that may be replaced."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from posegen.errors import ConfigError, PosegenError
from posegen.evaluation import Evaluation, ImagePair, Protocol, PublishedScore, Score, read_evaluation
from posegen.evaluation.report import (
    check_report_folder,
    comparison,
    rankings,
    score_table,
    sensitivity_markdown,
    sensitivity_picture,
    sensitivity_table,
    write_report,
)
from posegen.evaluation.report import compare as compare_module
from posegen.evaluation.report.pictures import MOST_HIGH, cases, histograms
from posegen.evaluation.report.rows import number
from posegen.evaluation.report.sensitivity import shifts
from posegen.evaluation.report.text import escape_latex, escape_markdown, markdown_table

EVIL = "<script>alert(1)</script>_a&b|50%"
VOID = {"meta", "img"}

CLEAN = Protocol(
    "clean",
    "a page",
    size=(32, 24),
    resize="pillow-bicubic",
    metrics={"ssim": {"type": "SSIM", "window": 7}, "psnr": {"type": "PSNR"}, "fid": {"type": "FID"}},
    sources={"size": "section 4", "resize": "unknown: not published"},
)
OTHER = replace(CLEAN, name="other", resize="opencv-bilinear")
NETS = [
    PublishedScore("NetA", "Set-1k, test", {"ssim": 0.70, "fid": 9.87}, "clean", "paper A, table 2"),
    PublishedScore("NetB", "Set-1k, test", {"ssim": 0.99}, "other", "paper B, table 1"),
    PublishedScore("NetC", "Set-1k, test", {"ssim": 0.98}, "", "paper C, table 3", "the size is not stated"),
    PublishedScore("NetD", "Set-1k, test", {"ssim": 0.97}, "gone", "paper D"),
]


@pytest.fixture(autouse=True)
def _known_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_module, "protocols", lambda: {"clean": CLEAN, "other": OTHER})


def scored(ssim: float = 0.6, protocol: Protocol = CLEAN, n: int = 40) -> Evaluation:
    """An evaluation of scores alone, as ``results.json`` gives it back."""
    scores = {
        "ssim": Score(ssim, (ssim - 0.02, ssim + 0.02), n, "", True),
        "psnr": Score(20.0, (18.0, 22.0), n, "dB", True),
    }
    return Evaluation(protocol, scores, {"fid": "weights are missing"})


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Twelve pairs of files of noise; the third has no defined psnr, the first a name that is markup."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    pairs, rows = [], []
    for k in range(12):
        paths = [folder / f"{k}_{role}.png" for role in ("made", "target", "source")]
        for path in paths:
            Image.fromarray(rng.integers(0, 256, (32, 24, 3), dtype=np.uint8)).save(path)
        name = EVIL if k == 0 else f"pair{k}"
        pairs.append(ImagePair(name, paths[0], paths[1], paths[2] if k % 2 else None))
        rows.append({"name": name, "ssim": k / 12, "psnr": math.nan if k == 2 else 20.0 + k})
    found = scored(n=12)
    found.per_image, found.pairs = rows, pairs
    found.notes, found.unmatched = [f"note {EVIL}"], [f"lost{k}.png" for k in range(130)]
    found.context = {"date": "2026-01-01", "versions": {"torch": "2.9"}, "folder": Path(EVIL)}
    return found


def printed(what: object, width: int = 160) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


class Page(HTMLParser):
    """Balance of tags, and everything that a browser would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def written(evaluation: Evaluation, tmp_path: Path) -> Path:
    write_report(evaluation, tmp_path / "report", NETS)
    return tmp_path / "report"


# In the terminal --------------------------------------------------------------------------------------------


def test_the_table_names_protocol_hash_and_missing_metrics() -> None:
    shown = printed(score_table(scored()))
    lines = [line.replace("│", " ").split() for line in shown.splitlines()]
    assert f"clean, protocol {CLEAN.hash}" in shown
    assert ["ssim", "0.6000", "0.5800", "…", "0.6200", "40", "↑"] in lines
    assert ["psnr", "20.000", "18.000", "…", "22.000", "40", "dB", "↑"] in lines
    assert ["fid", "not", "computed"] in lines


def test_a_name_in_brackets_is_not_markup() -> None:
    found = scored()
    found.scores["[red]x[/blue]"] = Score(1.0, None, 1)
    assert "[red]x[/blue]" in printed(score_table(found))
    assert "[bold]" in printed(rankings([("[bold]", found)])[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.71234, "0.7123"), (17.617, "17.617"), (255.0, "255.00"), (0.00042, "0.00042"), (0.0, "0.0000"),
     (math.nan, "NaN"), (None, "NaN"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_have_decimals_by_size(value: float | None, text: str) -> None:
    assert number(value) == text


# Rankings ----------------------------------------------------------------------------------------


def test_only_published_scores_of_the_same_hash_are_ranked() -> None:
    found = comparison(scored(), NETS)
    assert [entry.label for entry in found.ranking.entries] == ["this evaluation", "NetA"]  # though 0.70 is above 0.60
    why = {score.method: reason for score, reason in found.apart}
    assert why["NetB"] == f"computed under protocol 'other' ({OTHER.hash}); differs in resize"
    assert why["NetC"] == "its protocol is not known. the size is not stated"
    assert "which no plugin brings" in why["NetD"]


def test_no_published_score_is_ranked_with_a_changed_copy_of_its_protocol() -> None:
    changed = replace(CLEAN, generated_round_trip="jpeg-75")
    found = comparison(scored(protocol=changed), NETS)
    assert [entry.label for entry in found.ranking.entries] == ["this evaluation"]
    why = {score.method: reason for score, reason in found.apart}
    assert "of which this is a changed copy; differs in generated_round_trip" in why["NetA"]


def test_a_renamed_protocol_stays_comparable() -> None:
    found = comparison(scored(protocol=replace(CLEAN, name="my-copy")), NETS)
    assert [entry.label for entry in found.ranking.entries] == ["this evaluation", "NetA"]


def test_notes_name_guesses_and_different_images() -> None:
    notes = "\n".join(comparison(scored(), NETS).ranking.notes)
    assert "hold a guess: resize" in notes
    assert "take no part in the order" in notes
    ranking = rankings([("A", scored(n=40)), ("B", scored(n=39))])[0]
    assert any("the numbers of images differ" in note for note in ranking.notes)


def test_rankings_never_mix_hashes() -> None:
    given = [("A", scored(0.5)), ("B", scored(0.9, OTHER)), ("C", scored(0.7)), ("D", scored(math.nan))]
    found = rankings(given, NETS)
    assert [ranking.protocol.hash for ranking in found] == [CLEAN.hash, OTHER.hash]
    labels = [[entry.label for entry in ranking.entries] for ranking in found]
    assert labels == [["C", "A", "D", "NetA"], ["B", "NetB"]]  # best first, NaN last, then published
    assert not any(ranking.is_best(entry, "ssim") for ranking in found for entry in ranking.entries if entry.source)


def test_rankings_never_mix_images() -> None:
    one, two, three = scored(0.5), scored(0.6), scored(0.7)
    one.context["targets_digest"] = two.context["targets_digest"] = "a"
    three.context["targets_digest"] = "b"
    found = rankings([("one", one), ("two", two), ("three", three)])
    assert [[entry.label for entry in ranking.entries] for ranking in found] == [["two", "one"], ["three"]]


def test_a_ranking_is_ordered_by_the_metric_that_most_evaluations_have() -> None:
    given = {"E": scored(0.5), "F": scored(0.6)}
    for label, fid in (("E", 11.0), ("F", 13.0), ("G", 12.0)):
        given.setdefault(label, scored())
        given[label].scores["fid"] = Score(fid, None, 40, "", False)
    for name in ("ssim", "psnr"):
        del given["G"].scores[name]
    ranking = rankings(list(given.items()))[0]
    assert [entry.label for entry in ranking.entries] == ["E", "G", "F"]
    assert "in order of fid" in ranking.notes  # not of those that G lacks


def test_the_best_value_is_the_highest_or_lowest_by_metric() -> None:
    low, high = scored(), scored()
    low.scores = {"lpips": Score(0.1, None, 40, "", False), "odd": Score(1.0, None, 40)}
    high.scores = {"lpips": Score(0.2, None, 40, "", False), "odd": Score(2.0, None, 40)}
    ranking = rankings([("high", high), ("low", low)])[0]
    first, second = ranking.entries
    assert (first.label, second.label) == ("low", "high")
    assert ranking.is_best(first, "lpips")
    assert not ranking.is_best(second, "lpips")
    assert not any(ranking.is_best(entry, "odd") for entry in ranking.entries)  # no better side


def test_published_values_are_shown_as_printed() -> None:
    assert "9.87 " in printed(comparison(scored(), NETS).ranking)  # not 9.8700


# Files ----------------------------------------------------------------------------------------------------


def test_a_report_is_six_files_that_can_be_read_again(evaluation: Evaluation, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    paths = write_report(evaluation, folder, NETS)
    assert sorted(path.name for path in paths) == sorted(path.name for path in folder.iterdir())
    assert {path.name for path in paths} == {
        "results.json", "results.jsonl", "per_image.jsonl", "report.md", "report.tex", "report.html",
    }  # fmt: skip
    again = read_evaluation(folder / "results.json")
    assert again.protocol.hash == evaluation.protocol.hash
    assert again.scores == evaluation.scores
    rows = [json.loads(line) for line in (folder / "per_image.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [pair.name for pair in evaluation.pairs]
    assert rows[2]["psnr"] is None  # NaN is no JSON


def test_an_earlier_report_is_replaced_and_its_line_kept(written: Path, evaluation: Evaluation) -> None:
    evaluation.scores["ssim"] = replace(evaluation.scores["ssim"], value=0.75)
    write_report(evaluation, written, NETS)
    lines = [json.loads(line) for line in (written / "results.jsonl").read_text().splitlines()]
    assert [line["metrics"]["ssim"]["value"] for line in lines] == [0.6, 0.75]
    assert json.loads((written / "results.json").read_text()) == lines[-1]
    assert "0.7500" in (written / "report.md").read_text()


@pytest.mark.parametrize("results", [None, '{"my": "numbers"}', "no JSON"])
def test_files_that_are_not_a_report_are_not_overwritten(
    evaluation: Evaluation, tmp_path: Path, results: str | None
) -> None:
    (tmp_path / "report.md").write_text("my thesis")
    if results is not None:
        (tmp_path / "results.json").write_text(results)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(PosegenError, match=r"report\.md, which would be overwritten"):
        check_report_folder(tmp_path)
    with pytest.raises(PosegenError, match="nothing was written"):
        write_report(evaluation, tmp_path, NETS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_missing_folders_and_folders_with_other_files_are_accepted(tmp_path: Path) -> None:
    check_report_folder(tmp_path / "missing")
    (tmp_path / "picture.png").write_bytes(b"")
    check_report_folder(tmp_path)
    with pytest.raises(PosegenError, match="is not a folder"):
        check_report_folder(tmp_path / "picture.png")


def test_a_report_that_fails_leaves_the_earlier_one(written: Path, evaluation: Evaluation) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    with pytest.raises(ConfigError, match="did you mean 'ssim'"):
        write_report(evaluation, written, NETS, cases_by=["sim"])
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_an_evaluation_without_scores_and_images_has_a_report(tmp_path: Path) -> None:
    write_report(Evaluation(CLEAN, {}, {"ssim": "images are too small"}), tmp_path, [])
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "images are too small" in page.text


def test_scores_that_are_not_finite_are_shown_as_nan(tmp_path: Path) -> None:
    found = scored()
    found.scores["psnr"] = Score(math.nan, (math.nan, math.nan), 0, "dB", True)
    write_report(found, tmp_path, [])
    assert "| psnr | NaN |" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["metrics"]["psnr"]["value"] is None
    again = read_evaluation(tmp_path / "results.json")
    assert "NaN" in printed(rankings([("again", again)])[0])


# The page -------------------------------------------------------------------------------------------------


def test_the_page_is_well_formed_and_loads_nothing(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _attributes in page.tags}
    loaded = [value for _tag, has in page.tags for key in ("src", "href", "data", "srcset") if (value := has.get(key))]
    assert loaded
    assert all(value.startswith("data:image/png;base64,") for value in loaded)
    assert "url(" not in text
    assert "@import" not in text


def test_names_and_notes_are_escaped(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert Page(text).text.count(EVIL) >= 3  # a case, a note, a folder: shown as they are


def test_the_page_shows_scores_protocol_guesses_and_unmatched_files(written: Path) -> None:
    page = Page((written / "report.html").read_text(encoding="utf-8"))
    text = " ".join(page.text.split())
    for expected in (
        CLEAN.hash, "weights are missing", "pillow-bicubic a guess", "section 4", 'SSIM(window=7)', "NetA",
        "differs in resize", "Without a partner: 130", "lost99.png", "… and 30 more", "torch 2.9",
    ):  # fmt: skip
        assert expected in text
    assert "lost100.png" not in text


def test_a_distribution_leaves_out_undefined_values(evaluation: Evaluation) -> None:
    ssim, psnr = histograms(evaluation)
    assert ssim.caption == "ssim, median 0.4583, 12 images"
    assert psnr.caption == "psnr (dB), median 26.000, 11 images; not defined for 1 more"
    for value, count in ((5.0, 1), (math.nan, 0)):
        evaluation.per_image = [{"name": "a", "psnr": value}] * 12
        assert len(histograms(evaluation)) == count


def test_cases_are_the_best_the_median_and_the_worst(evaluation: Evaluation) -> None:
    def names(**better: bool) -> dict[str, list[str]]:
        evaluation.scores["ssim"] = replace(evaluation.scores["ssim"], higher_is_better=better["higher"])
        (found,) = cases(evaluation, ["ssim"])
        return {heading: [case.name for case in group] for heading, group in found.groups}

    high = names(higher=True)  # ssim rises with the number of the pair
    assert high["best"] == ["pair11", "pair10", "pair9"]
    assert high["worst"] == [EVIL, "pair1", "pair2"]
    assert set(high["median"]) <= {f"pair{k}" for k in range(4, 8)}
    low = names(higher=False)
    assert (low["best"], low["worst"]) == (high["worst"], high["best"])


def test_cases_of_few_images_show_each_once(evaluation: Evaluation) -> None:
    evaluation.per_image, evaluation.pairs = evaluation.per_image[:4], evaluation.pairs[:4]
    ssim, psnr = cases(evaluation)
    assert [[case.name for case in group] for _heading, group in ssim.groups] == [["pair3", "pair2", "pair1", EVIL]]
    assert len(psnr.groups[0][1]) == 3  # one has no psnr


def test_a_case_shows_its_source_if_there_is_one(evaluation: Evaluation) -> None:
    evaluation.pairs[1].target.unlink()
    (found,) = cases(evaluation, ["ssim"])
    by_name = {case.name: case for _heading, group in found.groups for case in group}
    assert [picture.role for picture in by_name["pair11"].pictures] == ["source", "target", "result"]
    assert [picture.role for picture in by_name["pair10"].pictures] == ["target", "result"]
    _source, target, _result = by_name["pair1"].pictures
    assert not target.uri
    assert "no such file" in target.problem


def test_pictures_are_scaled_down(evaluation: Evaluation, tmp_path: Path) -> None:
    import base64
    import io

    Image.new("RGB", (300, 600)).save(evaluation.pairs[11].generated)
    (found,) = cases(evaluation, ["ssim"])
    result = found.groups[0][1][0].pictures[-1]
    picture = Image.open(io.BytesIO(base64.b64decode(result.uri.split(",")[1])))
    assert picture.size == (MOST_HIGH // 2, MOST_HIGH)


# Markdown and LaTeX ---------------------------------------------------------------------------------------


def test_every_line_of_a_markdown_table_has_as_many_columns(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 4  # scores, comparable scores, others, protocol
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_markdown_escapes_markup() -> None:
    assert escape_markdown("a|b*c<d>\n&e_f") == r"a\|b\*c\<d\> &amp;e\_f"
    assert markdown_table(("a", "empty"), [("x|y", ""), ("z", "")]) == "| a |\n| --- |\n| x\\|y |\n| z |"


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex(r"a\b{c}_%&#$~^") == (r"a\textbackslash{}b\{c\}\_\%\&\#\$\textasciitilde{}\textasciicircum{}")


def test_the_latex_table_is_balanced_and_named(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.protocol = replace(CLEAN, name="50%_clean")
    evaluation.not_computed["fid"] = r"no C:\weights_{1}"
    write_report(evaluation, tmp_path / "report", [])
    text = (tmp_path / "report" / "report.tex").read_text(encoding="utf-8")
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [4, 4, 4]  # ssim, psnr, fid
    assert all(line.endswith(r"\\") for line in body)
    assert r"Scores under protocol 50\%\_clean, 12 images" in text
    assert rf"hash \texttt{{{evaluation.protocol.hash}}}" in text
    assert "Not computed: fid, no C:" in text


# Sensitivity ----------------------------------------------------------------------------------------------


def others() -> list[tuple[str, Evaluation]]:
    same_ssim = scored()
    same_ssim.scores["psnr"] = Score(19.0, None, 40, "dB", True)
    only_ssim = Evaluation(OTHER, {"ssim": Score(0.55, None, 40, "", True)}, {"psnr": "too small"})
    return [("size=$1$", scored(0.61)), ("jpeg-75", same_ssim), ("other", only_ssim), ("nan", scored(math.nan))]


def test_shifts_are_in_order_of_size_and_relative_to_the_interval() -> None:
    found = shifts("ssim", scored().scores["ssim"], others())
    assert [shift.label for shift in found] == ["other", "size=$1$", "jpeg-75"]
    assert [shift.difference for shift in found] == pytest.approx([-0.05, 0.01, 0.0])
    assert [shift.relative for shift in found] == pytest.approx([-2.5, 0.5, 0.0])  # the interval is ±0.02
    assert shifts("ssim", Score(0.6, None, 40), others())[0].relative is None
    assert shifts("ssim", Score(math.nan, None, 0), others()) == []


def test_the_sensitivity_table_lists_changes_and_choices_without_effect() -> None:
    lines = [
        " ".join(line.replace("│", " ").split()) for line in printed(sensitivity_table(scored(), others())).split("\n")
    ]
    assert "other 0.5500 -0.05 -2.50" in lines
    assert "no effect: jpeg-75" in lines
    assert "jpeg-75 19.000 -1 -0.50" in lines
    assert "not computed: other (too small)" in lines
    text = sensitivity_markdown(scored(), others())
    assert "|  | other | 0.5500 | -0.05 | -2.50 |" in text
    assert CLEAN.hash in text


def test_the_sensitivity_picture_has_a_bar_per_choice() -> None:
    picture = sensitivity_picture(scored(), others())
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    more = sensitivity_picture(scored(), [*others(), ("padding", scored(0.7)), ("resize", scored(0.8))])
    assert more.shape[0] > picture.shape[0]
    blue = (np.abs(more.astype(int) - (0x2A, 0x6F, 0xB0)).sum(-1) < 3).sum()
    orange = (np.abs(more.astype(int) - (0xD9, 0x76, 0x2B)).sum(-1) < 3).sum()
    assert min(blue, orange) > 100  # bars to the better and to the worse side
    still = sensitivity_picture(scored(), [("same", scored())])
    assert still.shape[2] == 3  # no change: the title says so
