"""Image files scored under a protocol: values, notes, refused inputs, and the command."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from posegen.cli import main
from posegen.data import Keypoints
from posegen.errors import ConfigError, DataError, MissingWeightsError
from posegen.evaluation import (
    ImageMetric,
    ImagePair,
    NotComputable,
    Protocol,
    SetMetric,
    get_protocol,
    read_evaluation,
    variations,
)
from posegen.evaluation.evaluate import Options, bootstrap_of_mean, evaluate
from posegen.evaluation.images import place_points, prepare_generated, prepare_target
from posegen.registry import METRICS

PLAIN = Protocol("plain", "a test", metrics={"ssim": {"type": "SSIM"}, "psnr": {"type": "PSNR"}, "l1": {"type": "L1"}})
SIZE = (48, 32)  # H, W


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A smooth random image, uint8 H W 3."""
    small = np.random.default_rng(seed).random((6, 4, 3), dtype=np.float32)
    return (cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)


def write(path: Path, image: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def pairs(folder: Path, count: int = 5, target: str = "png") -> list[ImagePair]:
    """Pictures, and the same with noise as what was generated."""
    made = []
    for k in range(count):
        true = picture(k)
        noise = np.random.default_rng(100 + k).normal(0, 12, true.shape)
        generated = (true + noise).clip(0, 255).astype(np.uint8)
        made.append(
            ImagePair(
                f"{k}",
                write(folder / "generated" / f"{k}.png", generated),
                write(folder / "true" / f"{k}.{target}", true),
            )
        )
    return made


def values(evaluation) -> dict[str, float]:
    return {name: score.value for name, score in evaluation.scores.items()}


# What is computed


def test_scores_are_those_of_independent_implementations(tmp_path):
    given = pairs(tmp_path)
    found = evaluate(given, PLAIN)
    images = [(np.asarray(Image.open(p.generated)), np.asarray(Image.open(p.target))) for p in given]
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2)
    ssim = np.mean([structural_similarity(true, made, **options) for made, true in images])
    psnr = np.mean([peak_signal_noise_ratio(true, made) for made, true in images])
    l1 = np.mean([np.abs(made / 255 - true / 255).mean() for made, true in images])
    assert values(found) == pytest.approx({"ssim": ssim, "psnr": psnr, "l1": l1}, abs=1e-6)
    assert [row["name"] for row in found.per_image] == ["0", "1", "2", "3", "4"]
    assert np.mean([row["psnr"] for row in found.per_image]) == pytest.approx(psnr, abs=1e-6)


def test_the_batch_size_changes_no_digit(tmp_path):
    given = pairs(tmp_path)
    alone, together = (evaluate(given, PLAIN, Options(batch_size=size)) for size in (1, 3))
    assert values(alone) == values(together)


def test_an_interval_contains_its_value_and_is_reproducible(tmp_path):
    given = pairs(tmp_path)
    first, again = evaluate(given, PLAIN), evaluate(given, PLAIN)
    for name, score in first.scores.items():
        low, high = score.ci95
        assert low < score.value < high
        assert score.n == 5
        assert again.scores[name].ci95 == score.ci95
    assert evaluate(given, PLAIN, Options(draws=0)).scores["ssim"].ci95 is None


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    numbers = np.random.default_rng(0).normal(3, 2, 4000)
    low, high = bootstrap_of_mean(numbers, 2000, seed=1)
    half = 1.96 * numbers.std() / np.sqrt(4000)
    assert [low, high] == pytest.approx([numbers.mean() - half, numbers.mean() + half], abs=0.1 * half)
    assert bootstrap_of_mean(numbers[:1], 100, 0) is None


# The protocol is kept


def by_library(image: np.ndarray, resize: str, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if resize == "opencv-bilinear":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if resize == "torchvision-bicubic":
        from torchvision.transforms.functional import InterpolationMode
        from torchvision.transforms.functional import resize as torchvision_resize

        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
        return torchvision_resize(tensor, [height, width], InterpolationMode.BICUBIC).permute(1, 2, 0).numpy()
    filters = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "lanczos": Image.LANCZOS}
    return np.asarray(Image.fromarray(image).resize((width, height), filters[resize.removeprefix("pillow-")]))


@pytest.mark.parametrize(
    "resize", ["pillow-bicubic", "pillow-bilinear", "pillow-lanczos", "opencv-bilinear", "torchvision-bicubic"]
)
def test_true_images_are_resized_by_the_named_library(tmp_path, resize):
    image = picture(3, (101, 77))
    path = write(tmp_path / "a.png", image)
    found = prepare_target(path, replace(PLAIN, size=(32, 24), resize=resize))
    difference = np.abs(found.astype(int) - by_library(image, resize, (32, 24)).astype(int))
    assert difference.max() <= (1 if resize == "torchvision-bicubic" else 0)  # its uint8 kernel rounds on the way


def test_images_are_stored_as_the_protocol_says_and_lossy_ones_not_again(tmp_path):
    image = picture(1)
    stored = replace(PLAIN, generated_round_trip="jpeg-75")
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    compressed = np.asarray(Image.open(file))
    assert (prepare_generated(write(tmp_path / "a.png", image), stored) == compressed).all()
    assert (compressed != image).any()
    lossy = write(tmp_path / "b.jpg", image, quality=50)
    assert (prepare_generated(lossy, stored) == np.asarray(Image.open(lossy))).all()


def test_padding_is_white_and_key_points_move_with_it(tmp_path):
    protocol = replace(PLAIN, size=(32, 16), resize="pillow-bicubic", padding="white-square")
    padded = prepare_target(write(tmp_path / "a.png", np.zeros((64, 32, 3), np.uint8)), protocol)
    assert padded.shape == (32, 32, 3)
    assert (padded[:, :8] == 255).all()
    assert (padded[:, 24:] == 255).all()
    assert (padded[:, 8:24] == 0).all()
    np.testing.assert_allclose(place_points(np.array([[10.0, 20.0]]), (64, 32), protocol), [[13, 10]])


def test_results_of_another_size_are_resized_with_a_note(tmp_path):
    found = evaluate(pairs(tmp_path), replace(PLAIN, size=(24, 16), resize="pillow-bicubic"))
    assert any("generated images are 32×48 and were resized (pillow-bicubic) to 16×24" in n for n in found.notes)


def test_guesses_of_the_protocol_are_noted(tmp_path):
    guessed = replace(PLAIN, sources={"padding": "unknown, taken as none", "size": "table 1"})
    assert any("guesses: padding" in note for note in evaluate(pairs(tmp_path), guessed).notes)


def test_a_variation_differs_in_one_choice_and_has_a_hash_of_its_own():
    protocol = replace(PLAIN, size=(32, 24), resize="pillow-bicubic")
    found = dict(variations(protocol))
    assert "resize=opencv-bilinear" in found
    assert "ssim.variant=uniform51" in found
    assert len({each.hash for each in found.values()} | {protocol.hash}) == len(found) + 1
    for label, each in found.items():
        field = label.split("=")[0].split(".")[0]
        same = {"size": each.size, "resize": each.resize, "padding": each.padding}
        if field in same:
            assert each.metrics == protocol.metrics
    assert "resize=none" not in found  # images would not fit
    assert not any(label.startswith("resize") for label, _ in variations(PLAIN))  # it resizes nothing


def test_name_and_sources_do_not_change_a_hash_but_other_fields_do():
    assert replace(PLAIN, name="other", citation="else", sources={"size": "x"}).hash == PLAIN.hash
    others = [replace(PLAIN, padding="white-square"), replace(PLAIN, real="training"), PLAIN.without("l1")]
    assert len({each.hash for each in [PLAIN, *others]}) == 4


# Metrics that cannot be computed


@pytest.fixture
def parts():
    """Registers metrics for one test."""
    registered = []

    def register(part):
        METRICS.register_module(module=part)
        registered.append(part.__name__)
        return part

    yield register
    for name in registered:
        METRICS.module_dict.pop(name)


def test_metrics_without_weights_or_that_do_not_apply_are_reported_and_others_go_on(tmp_path, parts):
    @parts
    class LacksWeights(ImageMetric):
        def __init__(self) -> None:
            raise MissingWeightsError("put net.pth there")

        def score(self, images):
            raise AssertionError

    @parts
    class TooSmall(ImageMetric):
        def score(self, images):
            raise NotComputable("needs 161 pixels a side")

    protocol = replace(PLAIN, metrics={**PLAIN.metrics, "net": {"type": "LacksWeights"}, "ms": {"type": "TooSmall"}})
    found = evaluate(pairs(tmp_path), protocol)
    assert found.not_computed == {"net": "put net.pth there", "ms": "needs 161 pixels a side"}
    assert list(found.scores) == ["ssim", "psnr", "l1"]


def test_a_dropped_metric_does_not_drop_one_of_a_similar_name(tmp_path, parts):
    @parts
    class NeverFits(ImageMetric):
        def score(self, images):
            raise NotComputable("never")

    metrics = {"ssim": {"type": "NeverFits"}, "ssim_256": {"type": "SSIM"}}
    found = evaluate(pairs(tmp_path), replace(PLAIN, metrics=metrics))
    assert list(found.scores) == ["ssim_256"]


class MeanColor(SetMetric):
    """Distance of mean colors: a metric of sets whose value is known by hand."""

    extractor = "mean color"

    def extract(self, images):
        return images.double().mean((2, 3)).numpy()

    def statistics(self, features):
        return {"mean": features.mean(0)}

    def compare(self, generated, real):
        return {"distance": float(np.abs(generated.mean(0) - real["mean"]).mean())}

    def advice(self, generated, real):
        return f"from {generated} and {real} images"


SETS = replace(PLAIN, metrics={"color": {"type": "MeanColor"}})


def test_a_metric_of_sets_compares_with_the_real_images(tmp_path, parts):
    parts(MeanColor)
    given = pairs(tmp_path)
    white = [write(tmp_path / "real" / f"{k}.png", np.full((*SIZE, 3), 255, np.uint8)) for k in range(3)]
    with pytest.raises(ConfigError, match="compares sets with the targets"):
        evaluate(given, SETS, Options(real=white))
    trained = replace(SETS, real="training images")
    found = evaluate(given, trained, Options(real=white, cache=tmp_path / "cache", draws=20))
    fewer = evaluate(given, trained, Options(real=white[:2], cache=tmp_path / "cache", draws=0))
    assert found.context["real_digest"] != fewer.context["real_digest"]
    made = np.mean([np.asarray(Image.open(pair.generated), float).mean((0, 1)) for pair in given], axis=0)
    assert found.scores["color"].value == pytest.approx(np.abs(255 - made).mean(), rel=1e-9)
    assert "color: from 5 and 3 images" in found.notes
    assert found.scores["color"].ci95[0] < found.scores["color"].value < found.scores["color"].ci95[1]


def test_real_images_are_the_targets_only_if_the_protocol_says_so(tmp_path, parts):
    parts(MeanColor)
    given = pairs(tmp_path)
    assert evaluate(given, SETS, Options(cache=tmp_path / "cache")).scores["color"].n == 5
    found = evaluate(given, replace(SETS, real="training images"), Options(cache=tmp_path / "cache"))
    assert "training images: give their folder with --real" in found.not_computed["color"]


def test_a_metric_with_another_extract_has_its_own_features(tmp_path, parts):
    """Also where it inherits the name of an extractor."""
    parts(MeanColor)

    @parts
    class LeftHalf(MeanColor):
        def extract(self, images):
            return super().extract(images[..., : images.shape[-1] // 2])

    given = pairs(tmp_path)
    kinds = {"whole": "MeanColor", "left": "LeftHalf"}
    both = replace(PLAIN, metrics={name: {"type": kind} for name, kind in kinds.items()})
    alone = replace(PLAIN, metrics={"left": {"type": "LeftHalf"}})
    found = evaluate(given, both, Options(cache=tmp_path / "both", draws=0)).scores
    assert found["left"].value != found["whole"].value
    itself = evaluate(given, alone, Options(cache=tmp_path / "alone", draws=0)).scores
    assert found["left"].value == itself["left"].value


def test_metrics_with_one_extractor_share_features_without_changing_values(tmp_path, parts):
    looked: list[int] = []

    @parts
    class Mean(MeanColor):
        def extract(self, images):
            looked.append(len(images))
            return super().extract(images)

    @parts
    class Spread(Mean):
        def compare(self, generated, real):
            return {"spread": float(generated.std(0).sum())}

    @parts
    class Unshared(Mean):
        extractor = ""  # features of an unknown source are not shared

    given = pairs(tmp_path)
    kinds = {"mean": "Mean", "spread": "Spread", "unknown": "Unshared"}
    protocol = replace(PLAIN, metrics={name: {"type": kind} for name, kind in kinds.items()})
    together = evaluate(given, protocol, Options(cache=tmp_path / "together", draws=20))
    assert sum(looked) == 5 * 2 * 2  # 5 generated and 5 true images: once for two metrics, once for the third
    for name in kinds:
        alone = evaluate(given, protocol, Options([name], cache=tmp_path / name, draws=20))
        assert together.scores[name] == alone.scores[name]  # to the last digit, the interval too


def test_a_set_needs_two_images(tmp_path, parts):
    parts(MeanColor)
    found = evaluate(pairs(tmp_path, 1), SETS, Options(cache=tmp_path / "cache"))
    assert "needs 2 generated images" in found.not_computed["color"]


def test_the_mask_is_drawn_from_key_points_of_the_target(tmp_path, parts):
    seen = []

    @parts
    class Looks(ImageMetric):
        def score(self, images):
            seen.append(images.mask)
            return {"looks": images.mask.mean((1, 2, 3))}

    given = pairs(tmp_path, 2)
    points = Keypoints(np.tile([[16, 24]], (18, 1)), np.ones(18, bool))
    protocol = replace(PLAIN, metrics={"looks": {"type": "Looks"}}, mask={"type": "BodyMask"})
    evaluate(given, protocol, Options(keypoints={"0": points, "1": points}))
    assert seen[0].shape == (2, 1, *SIZE)
    assert seen[0][0, 0, 24, 16] == 1
    assert seen[0][0, 0, 0, 0] == 0


def test_a_mean_without_some_images_is_noted(tmp_path):
    given = pairs(tmp_path)
    write(given[2].generated, np.full((*SIZE, 3), 7, np.uint8))  # one value: no data range of its own
    found = evaluate(given, replace(PLAIN, metrics={"ssim_256": {"type": "SSIM", "variant": "ssim256"}}))
    assert found.scores["ssim_256"].n == 4
    assert "ssim_256 is not defined for 1 of 5 images, such as 2; its mean is over the others" in found.notes


def test_lossy_files_are_noted(tmp_path):
    found = evaluate(pairs(tmp_path, target="jpg"), replace(PLAIN, target_round_trip="png"))
    assert "5 of 5 true images are lossy files and stay lossy (protocol: png)" in found.notes


# Bad input


def test_real_images_are_checked_before_anything_is_scored(tmp_path, parts):
    parts(MeanColor)
    real = [write(tmp_path / "real" / "a.png", picture(0)), write(tmp_path / "real" / "b.png", picture(0, (20, 20)))]
    real.append(write(tmp_path / "real" / "c.png", np.zeros(SIZE, np.uint8)))
    with pytest.raises(DataError) as caught:
        evaluate(pairs(tmp_path), replace(SETS, real="training images"), Options(real=real))
    assert "c.png: not a color image" in str(caught.value)
    assert "real images have other sizes than the generated ones" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": 5}, "size must be"),
        ({"size": ["a", "b"]}, "size must be"),
        ({"metrics": ["ssim"]}, "metrics must be parts"),
        ({"metrics": {"ssim": "SSIM"}}, "metrics must be parts"),
        ({"sources": {"x": None}}, "sources must be"),
        ({"name": ["a"]}, "name, citation and real"),
        ({"resize": "nearest"}, "there are: none, pillow-bicubic"),
        ({"sise": None}, "is no protocol"),
    ],
)
def test_an_invalid_protocol_file_is_explained(tmp_path, changed, said):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**PLAIN.to_dict(), **changed}))
    with pytest.raises(ConfigError, match=said):
        get_protocol(path)


def test_results_with_a_changed_definition_are_refused(tmp_path):
    data = evaluate(pairs(tmp_path), PLAIN).to_dict()
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    assert read_evaluation(path).context["targets_digest"] == data["targets_digest"]
    path.write_text(json.dumps({**data, "definition": {**data["definition"], "padding": "white-square"}}))
    with pytest.raises(DataError, match="its hash is"):
        read_evaluation(path)


def test_all_problems_of_the_files_are_listed_at_once(tmp_path):
    given = pairs(tmp_path, 7)
    write(given[0].generated, np.zeros(SIZE, np.uint8))
    write(given[1].generated, np.zeros((*SIZE, 4), np.uint8))
    given[2].generated.write_bytes(given[2].generated.read_bytes()[:200])
    write(given[3].generated, picture(0, (50, 32)))
    given[4].target.unlink()
    given[5].target.write_text("no image")
    with pytest.raises(DataError) as caught:
        evaluate(given, PLAIN)
    text = str(caught.value)
    for part in ("0.png: not a color image", "1.png: has an alpha channel", "2.png: truncated", "4.png: no such file",
                 "5.png: not an image", "several sizes: 3 of 32×48", "1 of 32×50 (such as 3.png)"):  # fmt: skip
        assert part in text


def test_true_images_of_another_size_need_a_protocol_that_resizes(tmp_path):
    given = pairs(tmp_path)
    for pair in given:
        write(pair.target, picture(0, (96, 64)))
    with pytest.raises(DataError, match="generated images are 32×48, true ones 64×96"):
        evaluate(given, PLAIN)


def test_unknown_metrics_and_two_pairs_of_one_name_are_refused(tmp_path):
    given = pairs(tmp_path)
    with pytest.raises(ConfigError, match=r"no metric 'simm'; did you mean 'ssim'\?\nit has: ssim, psnr, l1"):
        evaluate(given, PLAIN, Options(metrics=["simm"]))
    with pytest.raises(ConfigError, match="one name"):
        evaluate([given[0], given[0]], PLAIN)


# The command


def published_folder(folder: Path) -> list[str]:
    """Folders with results named as published; returns the arguments that name them."""
    for k in range(4):
        write(folder / "true" / f"b{k}.png", picture(k))
        write(folder / "made" / f"a{k}_2_b{k}_vis.png", picture(k + 1))
    return ["--generated", str(folder / "made"), "--target", str(folder / "true")]


def test_the_command_scores_the_folders_of_any_method(tmp_path, capsys):
    folders = published_folder(tmp_path)
    arguments = [*folders, "--protocol", "posegen-clean", "--metrics", "ssim", "psnr", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["protocol"] == "posegen-clean"
    assert results["hash"] == get_protocol("posegen-clean").hash
    assert set(results["metrics"]) == {"ssim", "psnr"}
    score = results["metrics"]["ssim"]
    assert score["n"] == 4
    assert score["ci95"][0] <= score["value"] <= score["ci95"][1]
    assert results["hash"] in capsys.readouterr().out
    assert main(["evaluate", *arguments]) == 0  # again into its own report


def test_the_report_is_written_before_a_table_that_nobody_can_print(tmp_path, monkeypatch):
    def closed(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("posegen.cli.scoring.score_table", closed)
    arguments = [*published_folder(tmp_path), "--protocol", "posegen-clean", "--metrics", "ssim"]
    with pytest.raises(BrokenPipeError):
        main(["evaluate", *arguments, "--out", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out" / "results.json").read_text())["metrics"]["ssim"]["n"] == 4


def test_missing_weights_change_the_exit_status_unless_allowed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    folders = published_folder(tmp_path)
    arguments = ["evaluate", *folders, "--protocol", "posegen-clean", "--metrics", "ssim", "lpips"]
    assert main(arguments) == 1
    assert "alexnet-owt-7be5be79.pth" in capsys.readouterr().out
    assert main([*arguments, "--allow-missing"]) == 0


def test_reasons_are_printed_once_below_a_table_that_fits_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["evaluate", *published_folder(tmp_path), "--protocol", "posegen-clean"]) == 1
    table, below = capsys.readouterr().out.split("not computed: fid, kid: ")  # both lack the same weights
    rows = [line for line in table.splitlines() if line.startswith("│")]
    names = [row.split()[1] for row in rows]
    assert names == ["ssim", "psnr", "l1", "fid", "kid", "lpips"]  # a row a metric: none is broken over two
    assert max(map(len, table.splitlines())) <= 80
    assert below.count("inception-2015-12-05.pt") == 3  # its name, its address, and the command that fetches it


def test_images_without_a_partner_are_listed_and_change_the_exit_status(tmp_path, capsys):
    folders = published_folder(tmp_path)
    write(tmp_path / "made" / "a9_2_b9_vis.png", picture(0))
    assert main(["evaluate", *folders, "--protocol", "posegen-clean", "--metrics", "ssim"]) == 1
    assert "a9_2_b9_vis" in capsys.readouterr().err


def test_the_sensitivity_study_makes_a_table_and_a_picture(tmp_path, capsys):
    folders = published_folder(tmp_path)
    out = tmp_path / "out"
    arguments = ["--protocol", "all", "--metrics", "ssim", "--draws", "50", "--out", str(out), "--allow-missing"]
    assert main(["evaluate", *folders, *arguments]) == 0
    table = (out / "sensitivity.md").read_text().replace("\\_", "_")
    for label in ("ssim.variant=uniform7", "generated_round_trip=jpeg-75", "gfla-fashion"):
        assert label in table
    assert Image.open(out / "sensitivity.png").size[0] > 300


def test_unused_files_are_reported(tmp_path, capsys):
    folders = published_folder(tmp_path)
    write(tmp_path / "true" / "b7.png", picture(7))  # a target without a result
    (tmp_path / "made" / "a5_2_b5_vis.tif").write_bytes(b"II*")
    arguments = ["--protocol", "posegen-clean", "--metrics", "ssim", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *folders, *arguments]) == 1
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["targets_without_a_result"] == 1
    error = capsys.readouterr().err
    assert "4 images were paired by {source}_2_{target}_vis" in error
    assert f"1 images of {tmp_path / 'true'} are the target of no result: b7.png" in error
    assert f"4 sources are not in {tmp_path / 'true'}: a0, a1, a2, a3; the report shows these results without" in error
    assert any("a5_2_b5_vis.tif: .tif is not supported" in each for each in results["unmatched"])
    assert "a5_2_b5_vis.tif" in error


def test_invalid_options_are_refused_before_any_work(tmp_path, capsys):
    folders = published_folder(tmp_path)
    for wrong in (["--batch-size", "0"], ["--draws", "-1"]):
        with pytest.raises(SystemExit):
            main(["evaluate", *folders, "--protocol", "posegen-clean", *wrong])
    assert main(["evaluate", *folders, "--protocol", "posegen-clean", "--out", str(tmp_path / "made")]) == 1
    assert "is a folder of images" in capsys.readouterr().err
    openpose_json(tmp_path / "points" / "b0.json", np.ones((18, 2)))
    points = ["--keypoints", str(tmp_path / "points"), "--layout", "human36m"]
    assert main(["evaluate", *folders, "--protocol", "posegen-clean-people", *points]) == 1
    assert "is drawn from openpose18 points, not human36m" in capsys.readouterr().err


def test_files_that_are_not_a_report_are_not_overwritten(tmp_path, capsys):
    folders = published_folder(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text('{"mine": 1}')
    assert main(["evaluate", *folders, "--protocol", "posegen-clean", "--out", str(tmp_path / "out")]) == 1
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == {"mine": 1}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--target", "none"], "there is no such folder"),
        (["--protocol", "nope"], "no protocol is called 'nope'"),
        (["--metrics", "simm"], "did you mean 'ssim'"),
        (["--keypoints", "none", "--layout", "openpose18"], "Every image that is scored needs its key points"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_refused_evaluation_leaves_no_folder(tmp_path, capsys, wrong, said):
    out = tmp_path / "reports" / "mine"
    arguments = [*published_folder(tmp_path), "--protocol", "posegen-clean", "--out", str(out)]
    assert main(["evaluate", *arguments, *wrong]) == 1
    assert said in capsys.readouterr().err
    assert not out.parent.exists()


def test_a_refused_evaluation_keeps_a_folder_that_existed(tmp_path):
    (tmp_path / "mine").mkdir()
    arguments = [*published_folder(tmp_path), "--protocol", "posegen-clean", "--out", str(tmp_path / "mine")]
    assert main(["evaluate", *arguments, "--target", "none"]) == 1
    assert (tmp_path / "mine").is_dir()


def test_a_model_is_tested_under_a_protocol(trained, tmp_path, capsys):
    config = trained.parent / "tiny.py"
    checkpoint = (trained / "last_checkpoint").read_text()
    options = ["--work-dir", str(tmp_path), "--protocol", "posegen-clean", "--metrics", "ssim", "l1"]
    assert main(["test", str(config), checkpoint, *options]) == 0
    report = tmp_path / "protocols" / "posegen-clean"
    results = json.loads((report / "results.json").read_text())
    plain = json.loads((tmp_path / "metrics.json").read_text())
    assert results["metrics"]["ssim"]["n"] == results["images"] == plain["images"]
    assert results["metrics"]["l1"]["value"] == pytest.approx(plain["metrics"]["l1"], abs=0.5 / 255)  # 8 bits


def openpose_json(path: Path, points: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    triples = np.concatenate([points, np.ones((18, 1))], 1).ravel().tolist()
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": triples}]}))


def test_masked_scores_and_key_point_distances_come_from_files_of_key_points(tmp_path):
    folders = published_folder(tmp_path)
    points = np.random.default_rng(0).uniform(4, 28, (18, 2)).round(2)
    for k in range(4):
        openpose_json(tmp_path / "points" / f"b{k}.json", points)
        openpose_json(tmp_path / "found" / f"a{k}_2_b{k}_vis_keypoints.json", points + np.array([3, 4]))
    given = ["--keypoints", tmp_path / "points", "--generated-keypoints", tmp_path / "found"]
    arguments = ["--metrics", "ssim", "mask_ssim", "keypoints", "--out", tmp_path / "out"]
    protocol = ["--protocol", "posegen-clean-people"]
    assert main(["evaluate", *folders, *protocol, *map(str, [*given, *arguments])]) == 0
    metrics = json.loads((tmp_path / "out" / "results.json").read_text())["metrics"]
    assert metrics["keypoints_akd"]["value"] == pytest.approx(5)  # 3 right, 4 down
    assert metrics["keypoints_missed"]["value"] == 0
    assert metrics["mask_ssim"]["value"] != metrics["ssim"]["value"]


def test_points_with_a_low_score_are_left_out_and_told(tmp_path):
    folders = published_folder(tmp_path)
    points = np.random.default_rng(0).uniform(4, 28, (18, 2)).round(2)
    for k in range(4):
        openpose_json(tmp_path / "points" / f"b{k}.json", points)
        file = tmp_path / "found" / f"a{k}_2_b{k}_vis_keypoints.json"
        openpose_json(file, points)
        content = json.loads(file.read_text())
        content["people"][0]["pose_keypoints_2d"][2] = 0.1  # score of the nose
        file.write_text(json.dumps(content))
    given = ["--keypoints", tmp_path / "points", "--generated-keypoints", tmp_path / "found", "--metrics", "keypoints"]
    arguments = ["evaluate", *folders, "--protocol", "posegen-clean-people", *map(str, given), "--out"]
    with pytest.warns(UserWarning, match=r"score below 0\.3 are left out, 1 of 18; .* \(and in 3 other files\)"):
        assert main([*arguments, str(tmp_path / "out")]) == 0
    assert main([*arguments, str(tmp_path / "all"), "--min-score", "0"]) == 0
    missed = [json.loads((tmp_path / out / "results.json").read_text())["metrics"]["keypoints_missed"]["value"]
              for out in ("out", "all")]  # fmt: skip
    assert missed[0] > missed[1] == 0


def test_all_images_without_key_points_are_listed(tmp_path, capsys):
    folders = published_folder(tmp_path)
    openpose_json(tmp_path / "points" / "b0.json", np.ones((18, 2)))
    arguments = [
        "--protocol",
        "posegen-clean-people",
        "--metrics",
        "mask_ssim",
        "--keypoints",
        str(tmp_path / "points"),
    ]
    assert main(["evaluate", *folders, *arguments]) == 1
    error = capsys.readouterr().err
    for k in (1, 2, 3):
        assert f"no b{k}.json" in error


def test_a_leaderboard_never_mixes_hashes(tmp_path, capsys):
    folders = published_folder(tmp_path)
    for out, protocol in [("one", "posegen-clean"), ("two", "posegen-clean"), ("three", "posegen-clean-people")]:
        arguments = ["--metrics", "ssim", "--draws", "0", "--out", str(tmp_path / out)]
        assert main(["evaluate", *folders, "--protocol", protocol, *arguments]) == 0
    capsys.readouterr()
    assert main(["leaderboard", *[str(tmp_path / out) for out in ("one", "two", "three")]]) == 0
    first, second = capsys.readouterr().out.split(f"protocol {get_protocol('posegen-clean-people').hash}")
    assert "one" in first
    assert "two" in first
    assert "three" not in first
    assert "three" in second
