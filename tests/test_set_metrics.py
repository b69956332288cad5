"""FID, KID and Inception score: against clean-fid, known answers, and from weight files to values.

The networks are seeded stand-ins in the formats of the published files.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cleanfid import inception_pytorch
from cleanfid.fid import frechet_distance, kernel_distance
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.utils import ResizeDataset
from PIL import Image
from posegen_metrics.fid import FID
from posegen_metrics.inception import FEATURES, KINDS, Inception
from posegen_metrics.inception_score import InceptionScore
from posegen_metrics.kid import KID, _in_order
from torch import Tensor, nn

from posegen.cli import main
from posegen.data.images import write_image
from posegen.errors import CheckpointError, ConfigError, MissingWeightsError
from posegen.evaluation import NotComputable, SetMetric
from posegen.evaluation.real_set import default_cache, real_statistics
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS
from posegen.weights import sha256

from .test_image_metrics import backbone, torchvision  # imported by posegen's helper

CLASSES = 10  # of the stand-ins that classify; the real ones have 1,008 and 1,000


# Stand-ins --------------------------------------------------------------------------------------------------


class Layers(nn.Module):
    """Images 299×299 in [-1, 1] to 2,048 numbers, which clean-fid's wrapper expects."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3 * 8 * 8, 2048)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.last(F.adaptive_avg_pool2d(x, 8).flatten(1)))


class StandIn(nn.Module):
    """The interface of NVIDIA's TorchScript Inception."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()
        self.output = nn.Linear(2048, CLASSES)

    def forward(self, img: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        x = F.interpolate(img.float(), size=[299, 299], mode="bilinear", align_corners=True)
        features = self.layers((x - 128) / 128)
        if return_features:
            return features
        bias = None if no_output_bias else self.output.bias
        return F.linear(features, self.output.weight, bias).softmax(1)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Gone when the tests are done: the files have the real ones' size."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def torchscript(folder: Path) -> Iterator[Path]:
    """A stand-in for inception-2015-12-05.pt, taken for the published program: no other is run."""
    torch.manual_seed(0)
    path = folder / "inception-2015-12-05.pt"
    torch.jit.script(StandIn()).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("posegen_metrics.inception.PROGRAM_SHA256", sha256(path))
        yield path


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Seeded weights of torchvision's Inception v3; of a spread that lets differences through all layers."""
    with torch.device("meta"):
        network = torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False)
    generator = torch.Generator().manual_seed(0)

    def draw(name: str, tensor: Tensor) -> Tensor:
        if tensor.ndim > 1:
            return torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5
        if name.endswith("num_batches_tracked"):
            return torch.tensor(0)
        return torch.ones(tensor.shape) if name.endswith(("bn.weight", "running_var")) else torch.zeros(tensor.shape)

    return {name: draw(name, tensor) for name, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def torchvision_file(folder: Path, state: dict[str, Tensor]) -> Path:
    """A stand-in for inception_v3_google-0cc3c7bd.pth."""
    path = folder / "torchvision.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def pytorch_fid_file(folder: Path, state: dict[str, Tensor]) -> Path:
    """A stand-in for pt_inception-2015-12-05-6726825d.pth: the same names, no auxiliary classifier, 1,008 classes."""
    own = {name: tensor for name, tensor in state.items() if not name.startswith(("AuxLogits", "fc."))}
    path = folder / "pytorch_fid.pth"
    torch.save({**own, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, path)
    return path


@pytest.fixture(scope="module")
def fid(torchscript: Path) -> FID:
    return FID(weights=torchscript)


@pytest.fixture(scope="module")
def kid(torchscript: Path) -> KID:
    return KID(weights=torchscript)


@pytest.fixture(scope="module")
def inception_score(torchscript: Path) -> InceptionScore:
    return InceptionScore("legacy_tensorflow", torchscript, splits=2)


# Features by hand -------------------------------------------------------------------------------------------


def normal(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Correlated features, the largest deviation a hundred times the smallest, as those of networks are."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((dimensions, dimensions)) * np.geomspace(1, 0.01, dimensions)[:, None]
    return rng.standard_normal((count, dimensions)) @ mix + rng.standard_normal(dimensions)


def of_spread(variances: list[float], count: int = 50) -> np.ndarray:
    """Features of mean 0 whose covariance is exactly diag(variances)."""
    raw = np.random.default_rng(1).standard_normal((count, len(variances)))
    orthogonal = np.linalg.qr(raw - raw.mean(axis=0))[0]
    return orthogonal * np.sqrt((count - 1) * np.array(variances))


def distance(metric: SetMetric, generated: np.ndarray, real: np.ndarray) -> float:
    (value,) = metric.compare(generated, metric.statistics(real)).values()
    return value


def from_scratch(generated: np.ndarray, real: np.ndarray) -> float:
    """Fréchet distance in another way: tr (Σg Σr)^(1/2) is the nuclear norm of Xg Xrᵀ, of centered features."""
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (generated.astype(np.float64), real.astype(np.float64)))
    shift = generated.mean(0, dtype=np.float64) - real.mean(0, dtype=np.float64)
    return float(shift @ shift + (x**2).sum() + (y**2).sum() - 2 * np.linalg.norm(x @ y.T, "nuc"))


# FID --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "real"), [(300, 200), (30, 200)])
def test_fid_equals_clean_fid(fid: FID, count: int, real: int) -> None:
    first, second = normal(count, 24), normal(real, 24, seed=1)
    moments = [each for f in (first, second) for each in (f.mean(axis=0), np.cov(f, rowvar=False))]
    assert distance(fid, first, second) == pytest.approx(frechet_distance(*moments), rel=1e-6)


@pytest.mark.parametrize(("count", "real"), [(100, 80), (10, 80), (100, 10), (10, 12), (2, 2)])
def test_fid_of_few_images_needs_no_invertible_covariance(fid: FID, count: int, real: int) -> None:
    first, second = normal(count, 24), normal(real, 24, seed=1)
    assert distance(fid, first, second) == pytest.approx(from_scratch(first, second), rel=1e-9)


def test_fid_of_identical_sets_is_zero(fid: FID) -> None:
    for features in (normal(100, 24), normal(10, 24)):
        assert distance(fid, features, features) == pytest.approx(0, abs=1e-9)


def test_fid_of_a_shifted_set_is_the_squared_shift(fid: FID) -> None:
    features, shift = normal(100, 24), np.linspace(-1, 2, 24)
    assert distance(fid, features + shift, features) == pytest.approx(shift @ shift, rel=1e-9)


def test_fid_of_other_variances_along_the_same_axes(fid: FID) -> None:
    # (√4 - √1)² + (√9 - √1)² + (√0 - √16)²
    assert distance(fid, of_spread([4, 9, 0]), of_spread([1, 1, 16])) == pytest.approx(1 + 4 + 16)


def test_fid_of_constant_features(fid: FID) -> None:
    constant, spread = np.full((5, 3), 2.0), of_spread([1, 2, 3])
    assert distance(fid, constant, constant - 1) == pytest.approx(3)  # the means, 1 apart in each of 3
    assert distance(fid, constant, spread) == pytest.approx(12 + 6)
    assert distance(fid, spread, constant) == pytest.approx(12 + 6)


def test_sets_of_one_image_are_not_computable(fid: FID, kid: KID) -> None:
    one, more = normal(1, 8), normal(9, 8)
    for metric in (fid, kid):
        for generated, real in [(one, more), (more, one)]:
            with pytest.raises(NotComputable, match=r"needs 2 images or more.* 1"):
                distance(metric, generated, real)


@pytest.mark.parametrize("count", [12, 60])  # fewer and more than the features have numbers
@pytest.mark.parametrize("name", ["fid", "kid"])
def test_the_fast_interval_equals_resampled_computations(request, name: str, count: int) -> None:
    metric = request.getfixturevalue(name)
    generated, real = normal(count, 24), metric.statistics(normal(count, 24, seed=1))
    quick = metric.interval(generated, real, np.random.default_rng(7), 40)
    whole = SetMetric.interval(metric, generated, real, np.random.default_rng(7), 40)
    assert quick[name] == pytest.approx(whole[name], rel=1e-5)
    low, high = quick[name]
    assert low < metric.compare(generated, real)[name] < high


def test_sets_smaller_than_the_feature_dimension_are_noted(fid: FID) -> None:
    assert fid.advice(2049, 5000) == ""
    advice = fid.advice(2048, 5000)
    assert "2,048 generated" in advice
    assert "real" not in advice
    assert "200 generated and 150 real" in fid.advice(200, 150)


# KID --------------------------------------------------------------------------------------------------------


def test_kid_by_hand(kid: KID) -> None:
    # (xy + 1)³: 1 among {0, 1}, 27 among {1, 2}, and 1, 1, 8, 27 across
    assert distance(kid, np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])) == 1 + 27 - 2 * (1 + 1 + 8 + 27) / 4


def test_kid_equals_clean_fid(torchscript: Path, monkeypatch) -> None:
    generated, real = normal(40, 24), normal(60, 24, seed=1)
    metric = KID(weights=torchscript, subsets=5, subset_size=30, seed=3)
    mine = distance(metric, generated, real)
    monkeypatch.setattr(np.random, "choice", np.random.default_rng(3).choice)  # the draws of clean-fid
    assert mine == pytest.approx(
        kernel_distance(_in_order(real), _in_order(generated), num_subsets=5, max_subset_size=30), rel=1e-9
    )


def test_kid_does_not_depend_on_the_order_of_files(torchscript: Path) -> None:
    generated, real = normal(40, 24), normal(60, 24, seed=1)
    metric = KID(weights=torchscript, subsets=5, subset_size=30, seed=3)
    mixed = np.random.default_rng(0).permutation
    assert distance(metric, mixed(generated), mixed(real)) == distance(metric, generated, real)


def test_kid_of_sets_no_larger_than_a_subset(kid: KID) -> None:
    generated, real = normal(40, 24), normal(40, 24, seed=1)
    assert distance(kid, generated, real) == pytest.approx(kernel_distance(real, generated), rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average(kid: KID) -> None:
    rng = np.random.default_rng(0)
    values = [distance(kid, *rng.standard_normal((2, 10, 8))) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20  # three standard errors
    assert min(values) < 0
    assert distance(kid, rng.standard_normal((10, 8)) + 1, rng.standard_normal((10, 8))) > max(values)


def test_kid_is_reproducible_and_leaves_numpys_generator_alone(kid: KID) -> None:
    generated, real = normal(40, 8), normal(60, 8, seed=1)
    np.random.seed(5)
    first = distance(kid, generated, real)
    assert np.random.random() == np.random.RandomState(5).random()
    assert distance(kid, generated, real) == first
    assert distance(kid, real, generated) != first


def test_kid_refuses_invalid_subsets(torchscript: Path) -> None:
    for arguments in (dict(subsets=0), dict(subset_size=1)):
        with pytest.raises(ConfigError, match="1 or more subsets of 2 or more images"):
            KID(weights=torchscript, **arguments)


# Inception score --------------------------------------------------------------------------------------------


def test_inception_score_known_answers(inception_score: InceptionScore) -> None:
    sure = np.tile(np.eye(5), (4, 1))  # each of 5 classes as often as any, in both splits
    unsure = np.full((20, 5), 0.2)
    alike = np.tile(np.eye(5)[:1], (20, 1))
    assert inception_score.compare(sure, {})["inception_score"] == pytest.approx(5)
    assert inception_score.compare(unsure, {})["inception_score"] == pytest.approx(1)
    assert inception_score.compare(alike, {})["inception_score"] == pytest.approx(1)


def test_inception_score_is_the_mean_over_runs(inception_score: InceptionScore) -> None:
    runs = np.concatenate([np.tile(np.eye(4), (2, 1)), np.tile(np.eye(4)[:2], (4, 1))])  # 4 classes, then 2
    assert inception_score.compare(runs, {})["inception_score"] == pytest.approx((4 + 2) / 2)


def test_inception_score_of_too_few_images(inception_score: InceptionScore) -> None:
    with pytest.raises(NotComputable, match=r"two images in each of its 2 splits, 4 in all, got 3"):
        inception_score.compare(np.eye(3), {})
    assert "splits of 50 images" in inception_score.advice(100, 0)
    assert inception_score.advice(10000, 0) == ""
    with pytest.raises(ConfigError, match="no class probabilities"):
        InceptionScore("clean")


# From weight file and images to numbers ---------------------------------------------------------------------


def pairs(count: int, seed: int = 0) -> PairBatch:
    """Noise in blocks of 8 pixels, 64×64, in 256 steps as files have."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (count, 3, 8, 8), generator=generator)
    images = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3) / 127.5 - 1
    structure = torch.zeros(count, 1, 64, 64)
    return PairBatch(images, structure, images, structure, [f"pair{k}" for k in range(count)])


def bytes_of(images: Tensor) -> Tensor:
    return images.add(1).mul(127.5).round().to(torch.uint8)


def evaluate(metric: SetMetric, batches: list[PairBatch], made: list[Tensor]) -> dict[str, float]:
    for batch, image in zip(batches, made, strict=True):
        metric.process(batch, [Transfer(image, [], [])])
    total = sum(map(len, batches))
    assert len(metric.results) == total  # one an item: what mmengine gathers, and cuts to the data set's length
    return metric.evaluate(total)


def clean_fids_features(images: Tensor, mode: str, network: nn.Module, folder: Path) -> np.ndarray:
    """Features that clean-fid computes from the images as files."""
    files = [folder / f"{k:03d}.png" for k in range(len(images))]
    for path, image in zip(files, bytes_of(images), strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    dataset = ResizeDataset(files, mode)
    with torch.no_grad():
        return network(torch.stack([dataset[k].float() for k in range(len(files))])).numpy()


@pytest.mark.parametrize("mode", ["clean", "legacy_tensorflow"])
def test_fid_and_kid_of_images_equal_clean_fid(mode: str, torchscript: Path, tmp_path: Path) -> None:
    batches, made = [pairs(4), pairs(3, seed=1)], [pairs(4, seed=2).target, pairs(3, seed=3).target]
    config = dict(features=mode, weights=str(torchscript))
    mine = evaluate(METRICS.build_part(dict(type="FID", **config)), batches, made)
    network = InceptionV3W(str(torchscript.parent), download=False, resize_inside=mode == "legacy_tensorflow")
    true = torch.cat([batch.target for batch in batches])
    generated, real = (clean_fids_features(images, mode, network, tmp_path) for images in (torch.cat(made), true))
    assert mine["fid"] == pytest.approx(from_scratch(generated, real), rel=1e-5)
    kernel = evaluate(METRICS.build_part(dict(type="KID", **config)), batches, made)
    assert kernel["kid"] == pytest.approx(kernel_distance(real.astype(float), generated.astype(float)), rel=1e-5)


def test_features_of_pytorch_fid_equal_clean_fid(pytorch_fid_file: Path, tmp_path: Path, monkeypatch) -> None:
    images = pairs(2).target
    mine = Inception("legacy_pytorch", pytorch_fid_file).features(bytes_of(images))
    monkeypatch.setattr(inception_pytorch, "load_state_dict_from_url", lambda *_a, **_k: torch.load(pytorch_fid_file))
    network = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False).eval()
    theirs = clean_fids_features(images, "legacy_pytorch", lambda x: network(x / 255)[0].flatten(1), tmp_path)
    assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert np.abs(mine[0] - mine[1]).max() > 0.01  # and the images are told apart


def test_features_of_torchvision_equal_its_own_transforms(torchvision_file: Path, state: dict[str, Tensor]) -> None:
    images = bytes_of(pairs(2).target)
    inception = Inception("torchvision", torchvision_file)
    network = torchvision.models.inception_v3(
        weights=None, aux_logits=True, init_weights=False, transform_input=True
    ).eval()
    network.load_state_dict(state)
    prepare = torchvision.models.Inception_V3_Weights.IMAGENET1K_V1.transforms(crop_size=299, resize_size=299)
    pooled: list[Tensor] = []
    network.avgpool.register_forward_hook(lambda _module, _inputs, output: pooled.append(output.flatten(1)))
    with torch.no_grad():
        probabilities = network(prepare(images)).softmax(1).numpy()
    # the resize to 8 bits is rounded in torchvision's own transform, and is not in ours
    assert inception.features(images) == pytest.approx(pooled[0].numpy(), abs=0.02 * float(pooled[0].std()))
    assert inception.probabilities(images) == pytest.approx(probabilities, rel=0.05)


def test_inception_score_of_images(torchscript: Path) -> None:
    metric = METRICS.build_part(
        dict(type="InceptionScore", features="legacy_tensorflow", weights=torchscript, splits=1)
    )
    images = pairs(6).target
    value = evaluate(metric, [pairs(6)], [images])["inception_score"]
    with torch.no_grad():
        p = torch.jit.load(torchscript)(bytes_of(images), no_output_bias=True).double()
    assert value == pytest.approx((p * (p / p.mean(0)).log()).sum(1).mean().exp().item(), rel=1e-6)
    assert value > 1


def test_fid_of_a_perfect_model_is_zero(fid: FID) -> None:
    batch = pairs(5)
    assert evaluate(fid, [batch], [batch.target])["fid"] == pytest.approx(0, abs=1e-6)


def test_the_extractor_names_network_checksum_and_resize(torchscript: Path, fid: FID) -> None:
    other = FID("legacy_tensorflow", torchscript)
    assert sha256(torchscript) in fid.extractor
    assert "inception-2015-12-05.pt" in fid.extractor
    assert "bicubic" in fid.extractor
    assert other.extractor != fid.extractor


@pytest.mark.parametrize("features", FEATURES)
def test_missing_weights_name_file_address_and_folder(features: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError) as error:
        FID(features)
    file = KINDS[features].file
    for named in (file.file_name, file.address, str(tmp_path)):
        assert named in str(error.value)
    assert list(tmp_path.rglob("*")) == []  # and nothing was downloaded
    with pytest.raises(MissingWeightsError, match="no such file"):
        FID(features, weights=tmp_path / "x.pt")


@pytest.mark.parametrize("features", FEATURES)
def test_other_files_are_refused(features: str, tmp_path: Path) -> None:
    garbage, other = tmp_path / "garbage.pt", tmp_path / "other.pt"
    garbage.write_bytes(b"not a network")
    torch.save({"weight": torch.zeros(3)}, other)
    for path in (garbage, other):
        with pytest.raises(CheckpointError, match=path.name) as error:
            Inception(features, path)
        assert len(str(error.value)) < 600


def test_unknown_features_are_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'torchvision'"):
        FID("torchvison")


# Statistics of real sets, kept ------------------------------------------------------------------------------


class Colors(SetMetric):
    """The mean color, and a line in a file for each batch it looked at."""

    extractor = "mean color"

    def __init__(self, log: Path, wait: float = 0) -> None:
        super().__init__()
        self.log, self.wait = log, wait

    def extract(self, images: Tensor) -> np.ndarray:
        with self.log.open("a") as log:
            log.write(f"{len(images)}\n")
        time.sleep(self.wait)
        return images.double().mean(dim=(2, 3)).numpy()

    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": features.mean(axis=0), "count": np.array(len(features))}

    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        return {}


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


class Kept:
    """Five images, a cache, and how often they were looked at."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.log = folder / "cache", folder / "log"
        self.files = [folder / f"{k}.png" for k in range(5)]
        rng = np.random.default_rng(0)
        for path in self.files:
            Image.fromarray(rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)).save(path)

    def get(self, key: str = "protocol", wait: float = 0) -> dict[str, np.ndarray]:
        statistics = real_statistics(Colors(self.log, wait), self.files, read, key, self.cache, batch_size=2)
        assert statistics["count"] == len(self.files)
        return statistics

    @property
    def batches(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_statistics_of_a_real_set_are_computed_once(kept: Kept) -> None:
    first = kept.get()
    assert kept.batches == [2, 2, 1]  # never all images at once
    assert first["mean"] == pytest.approx(np.mean([read(path).mean(axis=(0, 1)) for path in kept.files], axis=0))
    second = kept.get()
    assert kept.batches == [2, 2, 1]
    assert second.keys() == first.keys()
    assert np.array_equal(second["mean"], first["mean"])


def test_the_cache_ignores_names_and_order(kept: Kept) -> None:
    kept.get()
    kept.files = [path.rename(path.with_name(f"other{path.name}")) for path in kept.files][::-1]
    kept.get()
    assert len(kept.batches) == 3


def test_the_cache_notices_changes(kept: Kept, monkeypatch) -> None:
    kept.get()
    image = read(kept.files[0]).copy()
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(kept.files[0])
    kept.get()
    assert len(kept.batches) == 6
    kept.files = kept.files[:-1]
    kept.get()
    assert len(kept.batches) == 8  # 2 and 2
    kept.get(key="another protocol")
    assert len(kept.batches) == 10
    monkeypatch.setattr(Colors, "extractor", "median color")
    kept.get()
    assert len(kept.batches) == 12


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_file_is_computed_again_with_a_warning(kept: Kept, damage: bytes | None) -> None:
    first = kept.get()
    (path,) = kept.cache.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-30] if damage is None else damage)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        again = kept.get()
    assert np.array_equal(again["mean"], first["mean"])
    assert len(kept.batches) == 6
    kept.get()
    assert len(kept.batches) == 6
    assert [each.suffix for each in sorted(kept.cache.iterdir())] == [".lock", ".npz"]  # nothing half-written


def test_two_processes_compute_statistics_once(kept: Kept) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        asked = [pool.apply_async(kept.get, kwds=dict(wait=0.2)) for _ in range(2)]
        first, second = (each.get(timeout=60) for each in asked)
    assert np.array_equal(first["mean"], second["mean"])
    assert kept.batches == [2, 2, 1]


def test_progress_is_reported_only_for_computation(kept: Kept) -> None:
    told: list[int] = []
    for _ in range(2):
        real_statistics(Colors(kept.log), kept.files, read, "key", kept.cache, batch_size=2, progress=told.append)
    assert told == [2, 4, 5]


def test_cached_statistics_of_fid_are_exact(fid: FID, kept: Kept) -> None:
    first = real_statistics(fid, kept.files, read, "key", kept.cache, batch_size=4)
    second = real_statistics(fid, kept.files, read, "key", kept.cache, batch_size=4)
    assert second["root"].dtype == np.float64
    generated = fid.extract(torch.from_numpy(np.stack([read(path) for path in kept.files])).permute(0, 3, 1, 2))
    assert fid.compare(generated, second) == fid.compare(generated, first)
    assert fid.compare(generated, second)["fid"] == pytest.approx(0, abs=1e-9)


def test_the_default_cache_folder(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "posegen"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == Path.home() / ".cache" / "posegen"


def test_the_command_scores_with_metrics_of_every_kind(torchscript: Path, tmp_path: Path, capsys) -> None:
    torch.save(backbone("alex"), tmp_path / "alexnet.pth")
    for k in range(6):
        rng = np.random.default_rng(k)
        for kind in ("generated", "target"):
            write_image(tmp_path / kind / f"{k}.png", rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    metrics = {
        "lpips": {"type": "LPIPS", "net": "alex", "weights": str(tmp_path / "alexnet.pth")},
        "fid": {"type": "FID", "features": "clean", "weights": str(torchscript)},
        "kid": {"type": "KID", "features": "clean", "weights": str(torchscript)},
    }
    (tmp_path / "stand-ins.json").write_text(json.dumps({"name": "stand-ins", "metrics": metrics}))
    folders = ["--generated", tmp_path / "generated", "--target", tmp_path / "target", "--cache", tmp_path / "cache"]
    options = ["--protocol", tmp_path / "stand-ins.json", "--draws", "10", "--out", tmp_path / "out"]
    assert main(["evaluate", *map(str, [*folders, *options])]) == 0
    shown = capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["metrics"]) == ["lpips", "fid", "kid"]
    for name, score in results["metrics"].items():
        assert name in shown
        assert math.isfinite(score["value"])
        assert score["n"] == 6
        assert sha256(tmp_path / "alexnet.pth" if name == "lpips" else torchscript) in results["extractors"][name]
    assert any(note.startswith("fid: ") for note in results["notes"])  # few images
