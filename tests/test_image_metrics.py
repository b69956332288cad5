"""Metrics of single images: each against an independent implementation, or known answers."""

from __future__ import annotations

import hashlib
import math
import warnings

import numpy as np
import pytest
import torch
from posegen_dance.drawn import DancingDolls
from posegen_dance.layouts import HUMAN36M
from posegen_dance.structure import DanceStructureEncoder
from posegen_metrics.baseline import Baseline
from posegen_metrics.feature_distance import FeatureDistance
from posegen_metrics.flow_error import MaskQuality
from posegen_metrics.keypoint_distance import KeypointDistance, keypoint_scores
from posegen_metrics.l1 import L1
from posegen_metrics.lpips_distance import LEAST as LPIPS_LEAST
from posegen_metrics.lpips_distance import LPIPS
from posegen_metrics.masked import ForegroundSSIM, MaskedLPIPS, MaskedSSIM
from posegen_metrics.ms_ssim import LEAST, MSSSIM
from posegen_metrics.psnr import PSNR
from posegen_metrics.ssim import SSIM
from posegen_metrics.temporal import TemporalConsistency
from posegen_metrics.weights import ALEXNET
from posegen_people.layouts import OPENPOSE_18
from scipy.ndimage import correlate1d
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from posegen.data.keypoints import KeypointLayout, Keypoints
from posegen.errors import CheckpointError, ConfigError, InputError, MissingWeightsError
from posegen.evaluation import ImageBatch, ImageMetric, NotComputable
from posegen.records import Animation, ClipBatch, Origins, PairBatch, Transfer, collate_clips
from posegen.torchvision_import import import_torchvision

import_torchvision()
import lpips  # noqa: E402
import torchvision  # noqa: E402

EIGHT_BITS = 255


def images(size: tuple[int, int], kind: str = "noisy", count: int = 2, seed: int = 0) -> ImageBatch:
    """Targets and results that are 8-bit images on 0..1.

    ``noisy``: smooth ones and the same with noise; ``flat``: one value but for the last bit here and there.
    """
    rng = np.random.default_rng(seed)
    if kind == "flat":
        target, generated = (rng.integers(126, 128, (count, 3, *size)) for _ in range(2))
    else:
        y, x = np.mgrid[: size[0], : size[1]]
        waves = np.sin(x / rng.uniform(3, 30, (count, 3, 1, 1)) + y / rng.uniform(3, 30, (count, 3, 1, 1)))
        target = np.rint(127.5 + 80 * waves)  # with the noise, not the whole range: SSIM_256 sees that
        generated = np.clip(target + rng.normal(0, 10, target.shape).round(), 0, EIGHT_BITS)
    generated, target = (torch.from_numpy(values).float() / EIGHT_BITS for values in (generated, target))
    return ImageBatch(generated, target, [str(k) for k in range(count)])


def arrays(batch: ImageBatch, largest: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Target and result of each image, H W 3, float64 on 0..largest."""
    return [
        tuple(image.permute(1, 2, 0).double().numpy() * largest for image in pair)
        for pair in zip(batch.target, batch.generated, strict=True)
    ]


# SSIM -----------------------------------------------------------------------------------------------------


def published_ssim(variant: str, target: np.ndarray, generated: np.ndarray) -> float:
    """Images on 0..1, by scikit-image, called as the papers' scripts call it."""
    if variant == "uniform51":
        return structural_similarity(target, generated, win_size=51, data_range=1, channel_axis=2)
    if variant == "uniform7":
        return structural_similarity(target, generated, data_range=1, channel_axis=2)
    wang = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2)
    if variant == "gaussian":
        return structural_similarity(target, generated, data_range=1, **wang)
    target, generated = target * EIGHT_BITS, generated * EIGHT_BITS
    return structural_similarity(target, generated, data_range=generated.max() - generated.min(), **wang)


@pytest.mark.parametrize("variant", SSIM.variants["variant"])
@pytest.mark.parametrize("size", [(64, 52), (51, 75)])  # even and odd; the second as high as the widest window
@pytest.mark.parametrize("kind", ["noisy", "flat"])
def test_every_ssim_variant_equals_scikit_image(variant: str, size: tuple[int, int], kind: str) -> None:
    batch = images(size, kind)
    values = SSIM(variant).score(batch)["ssim"]
    assert values.dtype is torch.float64
    expected = [published_ssim(variant, *pair) for pair in arrays(batch)]
    assert values.tolist() == pytest.approx(expected, abs=1e-6)
    assert max(expected) < 0.999  # none of them is trivially 1


def test_ssim_variants_differ_by_more_than_papers_do() -> None:
    batch = images((64, 52))
    values = [SSIM(variant).score(batch)["ssim"].mean().item() for variant in SSIM.variants["variant"]]
    gaps = np.abs(np.subtract.outer(values, values))[np.triu_indices(len(values), 1)]
    assert gaps.min() > 1e-3


def test_ssim_256_uses_the_range_of_the_generated_image() -> None:
    batch = images((32, 32))
    low = ImageBatch(batch.generated * 0.2 + 0.4, batch.target, batch.names)
    swapped = ImageBatch(low.target, low.generated, low.names)
    ours = SSIM("ssim256").score(low)["ssim"] - SSIM("ssim256").score(swapped)["ssim"]
    assert ours.abs().min() > 1e-3  # the others are symmetric
    fixed = SSIM("gaussian").score(low)["ssim"] - SSIM("gaussian").score(swapped)["ssim"]
    assert fixed.abs().max() < 1e-12


def test_ssim_256_of_a_constant_generated_image_is_undefined() -> None:
    batch = images((32, 32))
    batch.generated[0] = 0.5
    values = SSIM("ssim256").score(batch)["ssim"]
    assert values.isnan().tolist() == [True, False]


@pytest.mark.parametrize(("variant", "least"), [("gaussian", 11), ("ssim256", 11), ("uniform7", 7), ("uniform51", 51)])
def test_ssim_states_its_minimum_image_size(variant: str, least: int) -> None:
    SSIM(variant).score(images((least, least)))
    with pytest.raises(ConfigError, match="did you mean 'gaussian'"):
        SSIM("gausian")
    with pytest.raises(NotComputable, match=f"{least} pixels per side or more; got 60×{least - 1}"):
        SSIM(variant).score(images((least - 1, 60)))


# MS-SSIM --------------------------------------------------------------------------------------------------


def multi_scale_ssim(target: np.ndarray, generated: np.ndarray) -> float:
    """Wang's method for images H W 3 on 0..255, from the paper, with scipy."""
    window = np.exp(-(np.linspace(-5, 5, 11) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(plane: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(plane, window, axis=0), window, axis=1)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = []
    for channel in range(3):
        x, y = target[..., channel], generated[..., channel]
        product = 1.0
        for level, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333), start=1):
            mx, my = mean(x), mean(y)
            sx, sy, sxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
            term = (2 * sxy + c2) / (sx + sy + c2)
            if level == 5:
                term = term * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
            product *= term.mean() ** exponent
            # 2×2 means, the image continued by its own mirror, every second one
            x, y = (correlate1d(correlate1d(p, [0.5, 0.5], 0, origin=-1), [0.5, 0.5], 1, origin=-1) for p in (x, y))
            x, y = x[::2, ::2], y[::2, ::2]
        channels.append(product)
    return float(np.mean(channels))


@pytest.mark.parametrize("size", [(176, 192), (LEAST, 203)])  # 203: odd at the first scale and at others
def test_ms_ssim_equals_an_implementation_of_the_paper(size: tuple[int, int]) -> None:
    batch = images(size)
    values = MSSSIM().score(batch)["ms_ssim"]
    assert values.tolist() == pytest.approx([multi_scale_ssim(*pair) for pair in arrays(batch, 255)], abs=1e-6)
    assert 0.1 < values.max() < 0.99


def test_ms_ssim_states_its_minimum_image_size() -> None:
    with pytest.raises(NotComputable, match="161 pixels per side or more; got 176×160"):
        MSSSIM().score(images((160, 176)))


def test_ms_ssim_of_a_negative_image_is_zero() -> None:
    batch = images((176, 176))
    batch.generated = 1 - batch.target
    assert MSSSIM().score(batch)["ms_ssim"].tolist() == [0, 0]  # not NaN, which the power of a negative number is


# PSNR, L1 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["noisy", "flat"])
def test_psnr_and_l1_equal_scikit_image(kind: str) -> None:
    batch = images((31, 20), kind)
    expected = [peak_signal_noise_ratio(*pair, data_range=1) for pair in arrays(batch)]
    assert PSNR().score(batch)["psnr"].tolist() == pytest.approx(expected, abs=1e-6)
    # scikit-image has no mean absolute difference: the mean squared one of the square roots is it
    expected = [mean_squared_error(np.sqrt(np.abs(a - b)), np.zeros_like(a)) for a, b in arrays(batch)]
    assert L1().score(batch)["l1"].tolist() == pytest.approx(expected, abs=1e-6)


# LPIPS ----------------------------------------------------------------------------------------------------


def backbone(net: str, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under torchvision's names; the classifier's, up to 120 million numbers, are placeholders."""
    with torch.device("meta"):
        model = {"alex": torchvision.models.alexnet, "vgg": torchvision.models.vgg16}.get(
            net, torchvision.models.squeezenet1_1
        )()
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, weight in model.state_dict().items():
        if name.startswith("features."):
            fan_in = max(1, weight[0].numel())
            state[name] = torch.randn(weight.shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            state[name] = torch.zeros(1)
    return state


def published_lpips(net: str, version: str, state: dict[str, Tensor], batch: ImageBatch) -> list[float]:
    """By the package itself, its backbone's layers filled one by one."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        trunk = lpips.pretrained_networks
        make = {"alex": trunk.alexnet, "vgg": trunk.vgg16, "squeeze": trunk.squeezenet}[net](pretrained=False)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        name = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}[net]
        patch.setattr(lpips.pretrained_networks, name, lambda **_: make)
        model = lpips.LPIPS(net=net, version=version, verbose=False)  # with its own linear weights
    for part in model.net.children():
        for number, layer in part.named_children():
            own = {
                key.removeprefix(f"features.{number}."): v for key, v in state.items() if f"features.{number}." in key
            }
            layer.load_state_dict(own, assign=True)
    with torch.no_grad():
        return model(batch.generated * 2 - 1, batch.target * 2 - 1).flatten().tolist()


@pytest.mark.parametrize(
    ("net", "version", "side"), [("alex", "0.1", 64), ("alex", "0.0", 64), ("squeeze", "0.1", 64), ("vgg", "0.1", 32)]
)
def test_lpips_equals_its_package(net: str, version: str, side: int, tmp_path) -> None:
    state, batch = backbone(net), images((side, side))
    torch.save(state, tmp_path / "net.pth")
    metric = LPIPS(net, version, weights=tmp_path / "net.pth")
    values = metric.score(batch)["lpips"].tolist()
    assert values == pytest.approx(published_lpips(net, version, state, batch), rel=1e-5)
    assert min(values) > 0
    batch.generated = batch.target
    assert metric.score(batch)["lpips"].tolist() == [0, 0]


@pytest.mark.parametrize("net", LPIPS_LEAST)
def test_lpips_of_smaller_images_than_its_network_takes_is_not_computed(net: str, tmp_path) -> None:
    torch.save(backbone(net), tmp_path / "net.pth")
    metric, least = LPIPS(net, weights=tmp_path / "net.pth"), LPIPS_LEAST[net]
    assert len(metric.score(images((least, 64)))["lpips"])
    with pytest.raises(NotComputable, match=f"needs images of {least}×{least} or more, got 64×{least - 1}"):
        metric.score(images((least - 1, 64)))


@pytest.fixture
def alexnet(tmp_path):
    path = tmp_path / "alexnet.pth"
    torch.save(backbone("alex"), path)
    return path


def test_lpips_leaves_torchs_generator_alone(alexnet) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    LPIPS(weights=alexnet).score(images((64, 64)))
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_lpips_weights_name_file_address_and_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MissingWeightsError) as error:
        LPIPS()
    for part in (
        ALEXNET.file_name,
        f"https://download.pytorch.org/models/{ALEXNET.file_name}",
        f"{tmp_path}/checkpoints",
    ):
        assert part in str(error.value)
    with pytest.raises(MissingWeightsError, match=r"nowhere\.pth"):
        LPIPS(weights=tmp_path / "nowhere.pth")


def test_lpips_refuses_a_file_with_another_checksum(alexnet, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    ALEXNET.path.parent.mkdir()
    alexnet.rename(ALEXNET.path)
    found = hashlib.sha256(ALEXNET.path.read_bytes()).hexdigest()[:8]
    with pytest.raises(CheckpointError, match=f"starts {found}, not {ALEXNET.sha256}"):
        LPIPS()


def test_lpips_lists_all_missing_weights(tmp_path) -> None:
    state = backbone("alex")
    del state["features.0.bias"]
    state["features.6.weight"] = torch.zeros(2, 3)
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(CheckpointError) as error:
        LPIPS(weights=tmp_path / "broken.pth")
    assert "features.0.bias is missing" in str(error.value)
    assert "features.6.weight has shape (2, 3), not (384, 192, 3, 3)" in str(error.value)


def test_an_unknown_lpips_network_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'squeeze'"):
        LPIPS("squeezenet")


# Masked ---------------------------------------------------------------------------------------------------


def test_masked_scores_equal_scores_of_images_times_mask(alexnet) -> None:
    batch = images((64, 64))
    batch.mask = torch.zeros(2, 1, 64, 64)
    batch.mask[:, :, 10:50, 20:44] = 1
    black = ImageBatch(batch.generated * batch.mask, batch.target * batch.mask, batch.names)
    for variant in SSIM.variants["variant"]:
        assert torch.equal(MaskedSSIM(variant).score(batch)["masked_ssim"], SSIM(variant).score(black)["ssim"])
    expected = LPIPS(weights=alexnet).score(black)["lpips"]
    assert torch.equal(MaskedLPIPS(weights=alexnet).score(batch)["masked_lpips"], expected)


def test_masked_scores_ignore_pixels_outside_the_mask(alexnet) -> None:
    batch = images((64, 64))
    batch.mask = torch.zeros(2, 1, 64, 64)
    batch.mask[..., :32] = 1
    other = ImageBatch(batch.generated.clone(), batch.target, batch.names, batch.mask)
    other.generated[..., 32:] = 0.9
    for metric in (MaskedSSIM(), MaskedLPIPS(weights=alexnet)):
        (first,), (second,) = metric.score(batch).values(), metric.score(other).values()
        assert torch.equal(first, second)


def test_masked_scores_need_a_mask(alexnet) -> None:
    for metric in (MaskedSSIM(), MaskedLPIPS(weights=alexnet)):
        with pytest.raises(NotComputable, match="needs a mask"):
            metric.score(images((64, 64)))


def test_ssim_of_the_foreground_is_the_mean_of_scikit_images_map_inside_the_mask() -> None:
    batch = images((40, 30))
    batch.mask = torch.zeros(2, 1, 40, 30)
    batch.mask[:, :, 3:20, 8:25] = 1
    values = ForegroundSSIM().score(batch)["ssim_foreground"]
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2)
    for value, (generated, target) in zip(values, arrays(batch), strict=True):
        _, full = structural_similarity(target, generated, full=True, **options)
        expected = full.mean(2)[5:20, 8:25].mean()  # rows 3 and 4 have no whole window
        assert value == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_foreground_without_pixels_is_undefined() -> None:
    batch = images((32, 32))
    batch.mask = torch.zeros(2, 1, 32, 32)
    batch.mask[0, :, 10:20, 10:20] = 1
    assert ForegroundSSIM().score(batch)["ssim_foreground"].isnan().tolist() == [False, True]


# Features -------------------------------------------------------------------------------------------------


def test_the_distance_of_features_is_that_of_unit_vectors_averaged_over_positions_and_layers() -> None:
    batch, layers = images((32, 32)), ("relu1_2", "relu2_1")
    metric = FeatureDistance(dict(type="VGG16Features", weights="random"), layers)
    found = [metric.network(2 * side - 1, layers) for side in (batch.generated, batch.target)]
    expected = []
    for layer in layers:
        cosine = torch.cosine_similarity(found[0][layer], found[1][layer], dim=1)
        expected.append((2 - 2 * cosine).mean((1, 2)))
    value = metric.score(batch)["feature_distance"]
    torch.testing.assert_close(value, torch.stack(expected).mean(0), rtol=1e-4, atol=1e-6)
    assert (value > 0).all()
    same = ImageBatch(batch.target, batch.target, batch.names)
    assert metric.score(same)["feature_distance"].tolist() == [0, 0]


# Baselines ------------------------------------------------------------------------------------------------


def test_baselines_score_the_source_and_the_warped_source_in_place_of_the_image() -> None:
    source, target, image = torch.rand(3, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    none = torch.zeros(2, 0, 16, 16)
    batch = PairBatch(source, none, target, none, ["a", "b"])
    flow = torch.zeros(2, 2, 16, 16)
    flow[:, 0] = 1  # one pixel to the right
    out = Transfer(image, [flow], [torch.ones(2, 1, 16, 16)])
    source_l1 = Baseline("source", dict(type="L1")).measure(batch, out)["l1"]
    torch.testing.assert_close(source_l1.float(), (source - target).abs().mean((1, 2, 3)) / 2)
    warped_l1 = Baseline("warped", dict(type="L1")).measure(batch, out)["l1"]
    shifted = torch.cat([source[..., 1:], source[..., -1:]], dim=-1)
    torch.testing.assert_close(warped_l1.float(), (shifted - target).abs().mean((1, 2, 3)) / 2)
    assert Baseline("warped", dict(type="L1")).measure(batch, Transfer(image, [], [])) == {}
    assert Baseline("source", dict(type="L1")).prefix == "source"


def test_a_baseline_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of source, warped, got 'target'"):
        Baseline("target", dict(type="L1"))
    with pytest.raises(ConfigError, match="single images; FlowError is none"):
        Baseline("source", dict(type="FlowError"))


# Key points -----------------------------------------------------------------------------------------------

NOSE, NECK, WRIST, KNEE = 0, 1, 4, 9


def skeleton(**points: tuple[float, float]) -> Keypoints:
    """Key points of which only the named ones are present."""
    places = {"nose": NOSE, "neck": NECK, "wrist": WRIST, "knee": KNEE}
    array, present = np.zeros((18, 2)), np.zeros(18, bool)
    for name, point in points.items():
        array[places[name]], present[places[name]] = point, True
    return Keypoints(array, present)


TRUE = skeleton(nose=(50, 20), neck=(50, 30), wrist=(20, 60), knee=(40, 90))  # a head of 10 px: PCKh at 5 px


def test_pckh_counts_points_within_half_a_head_size() -> None:
    found = skeleton(nose=(50, 20), neck=(53, 34), wrist=(20, 65.1), knee=(40, 90))  # off by 0, 5, 5.1 and 0
    (row,) = keypoint_scores([TRUE], [found], OPENPOSE_18)
    assert row["pckh"] == 3 / 4
    assert row["akd"] == pytest.approx((5 + 5.1) / 4)
    assert row["missed"] == 0
    assert keypoint_scores([TRUE], [found], OPENPOSE_18, threshold=0.52)[0]["pckh"] == 1


def test_a_point_that_was_not_found_is_wrong_and_has_no_distance() -> None:
    found = skeleton(nose=(50, 20), neck=(50, 32))
    (row,) = keypoint_scores([TRUE], [found], OPENPOSE_18)
    assert row == {"pckh": 2 / 4, "akd": 1, "missed": 2 / 4}


def test_points_missing_in_the_target_are_ignored() -> None:
    true = skeleton(nose=(50, 20), neck=(50, 30))
    (row,) = keypoint_scores([true], [TRUE], OPENPOSE_18)
    assert row == {"pckh": 1, "akd": 0, "missed": 0}


def test_undefined_key_point_scores_are_nan() -> None:
    nothing = skeleton()
    no_head, none_found, no_target = keypoint_scores(
        [skeleton(nose=(1, 1), wrist=(5, 5)), TRUE, nothing], [TRUE, nothing, TRUE], OPENPOSE_18
    )
    assert math.isnan(no_head["pckh"])
    assert not math.isnan(no_head["akd"])
    assert (none_found["pckh"], none_found["missed"]) == (0, 1)
    assert math.isnan(none_found["akd"])
    assert all(math.isnan(value) for value in no_target.values())


def test_all_key_points_of_another_layout_are_listed() -> None:
    short = Keypoints(np.zeros((17, 2)), np.ones(17))
    with pytest.raises(InputError, match="image 1: 17 true points, image 0: 17 found points"):
        keypoint_scores([TRUE, short], [short, TRUE], OPENPOSE_18)
    with pytest.raises(InputError, match="2 targets, and of 1 generated"):
        keypoint_scores([TRUE, TRUE], [TRUE], OPENPOSE_18)
    with pytest.raises(ConfigError, match="'dots' has no nose and no neck"):
        KeypointDistance(KeypointLayout("dots", ("dot",), (0,), (), ((0, 0, 0),)))


def test_key_points_are_scored_if_both_are_known() -> None:
    batch = images((16, 16))
    metric = KeypointDistance(OPENPOSE_18)
    with pytest.raises(NotComputable, match="key points of the targets and those found"):
        metric.score(batch)
    batch.keypoints, batch.generated_keypoints = [TRUE, TRUE], [TRUE, skeleton()]
    values = metric.score(batch)
    assert values["pckh"].tolist() == [1, 0]
    assert values["missed"].tolist() == [0, 1]


# Masks of the model ---------------------------------------------------------------------------------------


def known_visibility() -> PairBatch:
    """One pair of 4×8: foreground but for the right half; of it, the upper half is visible."""
    zeros = torch.zeros(1, 3, 4, 8)
    visible, foreground = torch.ones(1, 1, 4, 8), torch.zeros(1, 1, 4, 8)
    visible[:, :, 2:], foreground[..., :4] = 0, 1
    return PairBatch(zeros, zeros, zeros, zeros, ["pair"], visible=visible, foreground=foreground)


def mask_scores(batch: PairBatch, mask: Tensor) -> dict[str, float]:
    values = MaskQuality().measure(batch, Transfer(batch.target, [], [mask]))
    return {name: value.item() for name, value in values.items()}


def test_the_visible_foreground_is_a_perfect_mask() -> None:
    batch = known_visibility()
    assert mask_scores(batch, batch.visible) == {"mask_precision": 1, "mask_recall": 1}
    coarse = torch.tensor([[[[0.9, 0.9], [0.1, 0.1]]]])  # 2×2: half is between, at the threshold's right side
    assert mask_scores(batch, coarse) == {"mask_precision": 1, "mask_recall": 1}


def test_precision_and_recall_of_a_mask() -> None:
    batch = known_visibility()
    assert mask_scores(batch, torch.ones(1, 1, 4, 8)) == {"mask_precision": 0.5, "mask_recall": 1}
    first_row = torch.zeros(1, 1, 4, 8)
    first_row[:, :, 0] = 0.5  # at the threshold
    assert mask_scores(batch, first_row) == {"mask_precision": 1, "mask_recall": 0.5}
    nothing = mask_scores(batch, torch.zeros(1, 1, 4, 8))
    assert math.isnan(nothing["mask_precision"])
    assert nothing["mask_recall"] == 0


def test_the_mask_of_the_background_is_ignored() -> None:
    batch = known_visibility()
    mask = batch.visible.clone()
    mask[..., 4:] = 1 - mask[..., 4:]
    assert mask_scores(batch, mask) == {"mask_precision": 1, "mask_recall": 1}


def test_masks_are_measured_if_visibility_is_known() -> None:
    batch = known_visibility()
    assert MaskQuality().measure(batch, Transfer(batch.target, [], [])) == {}
    batch.visible = None
    assert MaskQuality().measure(batch, Transfer(batch.target, [], [torch.ones(1, 1, 4, 8)])) == {}


def ranked(visible: Tensor, mask: Tensor, batches: int = 1) -> dict[str, float]:
    """All values of MaskQuality over a data set, given in batches."""
    metric = MaskQuality()
    for seen, part in zip(visible.chunk(batches), mask.chunk(batches), strict=True):
        images = torch.zeros(len(seen), 3, *seen.shape[-2:])
        names = [f"{len(metric.results)}-{k}" for k in range(len(seen))]
        metric.process(PairBatch(images, images, images, images, names, visible=seen), [Transfer(images, [], [part])])
    return metric.compute_metrics(metric.results)


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Brute force, as scikit-learn defines it: every distinct score is a threshold, the highest first."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        hits = (positive & chosen).sum()
        area += (hits / positive.sum() - recall) * hits / chosen.sum()
        recall = hits / positive.sum()
    return float(area)


def test_the_average_precision_of_what_is_hidden_is_that_of_all_pixels_together() -> None:
    generator = torch.Generator().manual_seed(0)
    visible = (torch.rand(6, 1, 8, 8, generator=generator) < torch.linspace(0.1, 1, 6).view(6, 1, 1, 1)).float()
    mask = (0.3 * visible + 0.7 * torch.rand(6, 1, 8, 8, generator=generator)).half().float()
    mask[:, :, 0] = 0.5  # ties
    expected = average_precision(1 - mask.numpy().astype(np.float64).ravel(), visible.numpy().ravel() == 0)
    assert 0.2 < expected < 0.9
    for batches in (1, 3):
        assert ranked(visible, mask, batches)["mask_hidden_ap"] == pytest.approx(expected, abs=1e-12)


def test_average_precision_by_hand() -> None:
    visible = torch.tensor([0.0, 1, 0, 1]).view(1, 1, 2, 2)
    mask = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 1, 2, 2)
    assert ranked(visible, mask)["mask_hidden_ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert ranked(visible, 1 - mask)["mask_hidden_ap"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert ranked(visible, torch.full((1, 1, 2, 2), 0.7))["mask_hidden_ap"] == 0.5  # the share of hidden pixels
    assert ranked(visible, visible)["mask_hidden_ap"] == 1
    assert "mask_hidden_ap" not in ranked(torch.ones(1, 1, 2, 2), mask)


def test_average_precision_is_at_the_resolution_of_the_visibility() -> None:
    visible = torch.ones(1, 1, 4, 4)
    visible[..., :2] = 0
    coarse = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).view(1, 1, 2, 2)  # resized: 0, 0.25, 0.75, 1
    assert ranked(visible, coarse)["mask_hidden_ap"] == 1
    images = torch.zeros(1, 3, 4, 4)
    rows = MaskQuality()
    rows.process(PairBatch(images, images, images, images, ["a"]), [Transfer(images, [], [coarse])])
    assert rows.compute_metrics(rows.results) == {}
    assert rows.per_image == [{"name": "a"}]


# Clips ----------------------------------------------------------------------------------------------------


def moving(clips: int = 2, length: int = 4, step: int = 2, size: tuple[int, int] = (24, 48)) -> ClipBatch:
    """Clips in which a smooth picture moves *step* pixels to the right each frame."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.rand(clips, 3, size[0] // 4, size[1] // 4 + 8, generator=generator) * 2 - 1
    wide = torch.nn.functional.interpolate(wide, scale_factor=4, mode="bicubic").clamp(-1, 1)
    starts = [step * (length - t) for t in range(length + 1)]
    frames = torch.stack([wide[..., start : start + size[1]] for start in starts], 1)
    flow = torch.zeros(clips, length, 2, *size)
    flow[:, :, 0] = -step  # where it was
    visible = torch.ones(clips, length, 1, *size)
    visible[..., :step] = 0
    structures = torch.zeros(clips, length, 1, *size)
    return ClipBatch(
        frames[:, 0], structures[:, 0], frames[:, 1:], structures, [f"clip{k}" for k in range(clips)],
        flow_previous=flow, visible_previous=visible,
    )  # fmt: skip


def animation(frames: Tensor) -> Animation:
    return Animation(frames, Origins([], []), Origins([], []))


def evaluate(metric: TemporalConsistency, batch: ClipBatch, frames: Tensor) -> dict[str, float]:
    metric.process(batch, [animation(frames)])
    assert len(metric.results) == len(batch)  # an entry a clip, as mmengine gathers them
    return metric.evaluate(len(batch))


def test_true_frames_are_consistent_along_the_true_flow() -> None:
    batch = moving()
    metric = TemporalConsistency()
    values = evaluate(metric, batch, batch.frames)
    assert values["temporal_error"] == values["temporal_error_true"] < 1e-6
    assert [math.isnan(row["temporal_error"]) for row in metric.per_image] == [True, False, False, False] * 2
    assert metric.per_image[5]["name"] == "clip1/00001"


def test_flicker_is_an_error_of_its_amplitude() -> None:
    batch = moving()
    batch.frames = batch.frames * 0.5
    flicker = torch.tensor([0.1, -0.1, 0.1, -0.1]).view(1, 4, 1, 1, 1)  # 0.2 of a scale of 2
    values = evaluate(TemporalConsistency(), batch, batch.frames + flicker)
    assert values["temporal_error"] == pytest.approx(0.1, abs=1e-6)
    assert values["temporal_error_true"] < 1e-6


def test_a_still_image_is_not_consistent_with_motion() -> None:
    batch = moving()
    still = batch.frames[:, :1].expand_as(batch.frames)
    values = evaluate(TemporalConsistency(), batch, still)
    assert values["temporal_error"] > 0.05


def test_pixels_not_visible_in_both_frames_are_ignored() -> None:
    batch = moving()
    spoilt = batch.frames.clone()
    spoilt[..., :2] = 1  # what comes into the picture; two pixels on, the next frame's own
    batch.visible_previous[..., :4] = 0
    assert evaluate(TemporalConsistency(), batch, spoilt)["temporal_error"] < 1e-6
    batch.visible_previous[:] = 0
    assert evaluate(TemporalConsistency(), batch, spoilt) == {}  # nothing to compare: no number


def test_an_unknown_flow_can_be_estimated() -> None:
    batch = moving(size=(64, 96))
    exact = evaluate(TemporalConsistency(), batch, batch.frames)
    batch.flow_previous = batch.visible_previous = None
    assert evaluate(TemporalConsistency(), batch, batch.frames) == {}
    values = evaluate(TemporalConsistency(flow="estimated"), batch, batch.frames)
    assert values["temporal_error"] == values["temporal_error_true"]
    assert exact["temporal_error"] < values["temporal_error"] < 0.01
    still = batch.frames[:, :1].expand_as(batch.frames)
    assert evaluate(TemporalConsistency(flow="estimated"), batch, still)["temporal_error"] > 0.05


def test_a_drawn_dance_is_consistent_with_itself() -> None:
    dance = DancingDolls(1, DanceStructureEncoder(HUMAN36M), frames=4)
    batch = collate_clips([dance[0]])
    values = evaluate(TemporalConsistency(), batch, batch.frames)
    still = evaluate(TemporalConsistency(), batch, batch.frames[:, :1].expand_as(batch.frames))
    assert values["temporal_error"] < still["temporal_error"]


def test_pairs_and_single_frames_have_no_previous_one() -> None:
    batch = known_visibility()
    metric = TemporalConsistency()
    metric.process(batch, [Transfer(batch.target, [], [])])
    assert metric.evaluate(1) == {}
    single = moving(length=1)
    assert evaluate(TemporalConsistency("estimated"), single, single.frames) == {}
    with pytest.raises(ConfigError, match="did you mean 'estimated'"):
        TemporalConsistency(flow="estimate")


# All ------------------------------------------------------------------------------------------------------


def all_image_metrics(alexnet) -> list[ImageMetric]:
    return [
        SSIM(), MSSSIM(), PSNR(), L1(), LPIPS(weights=alexnet), MaskedSSIM(), MaskedLPIPS(weights=alexnet),
        KeypointDistance(OPENPOSE_18), ForegroundSSIM(), FeatureDistance(dict(type="VGG16Features", weights="random")),
    ]  # fmt: skip


def test_every_value_has_a_direction_and_is_that_of_the_image_alone(alexnet) -> None:
    batch = images((LEAST, LEAST), count=2)
    batch.mask = torch.ones(2, 1, LEAST, LEAST)
    batch.keypoints, batch.generated_keypoints = [TRUE, TRUE], [skeleton(nose=(50, 20)), TRUE]
    alone = ImageBatch(**{name: value[1:] for name, value in vars(batch).items()})
    for metric in all_image_metrics(alexnet):
        together = metric.score(batch)
        assert set(together) <= set(metric.higher_is_better)
        for name, value in metric.score(alone).items():
            assert value.tolist() == pytest.approx(together[name][1:].tolist(), abs=1e-6)


def test_the_better_side_is_that_of_the_target_itself(alexnet) -> None:
    batch = images((LEAST, LEAST))
    batch.mask = torch.ones(2, 1, LEAST, LEAST)
    batch.keypoints, batch.generated_keypoints = [TRUE] * 2, [skeleton(nose=(54, 20), neck=(50, 40))] * 2
    perfect = ImageBatch(batch.target, batch.target, batch.names, batch.mask, batch.keypoints, batch.keypoints)
    for metric in all_image_metrics(alexnet):
        worse, best = metric.score(batch), metric.score(perfect)
        for name in best:
            higher = metric.higher_is_better[name]
            assert (best[name] > worse[name]).all() if higher else (best[name] < worse[name]).all()
