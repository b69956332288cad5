"""Files of pretrained weights: found, verified, listed and downloaded by ``posegen weights``."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import posegen_metrics.weights
import pytest
from filelock import FileLock
from torchvision import models

from posegen import plugins
from posegen.cli import main
from posegen.errors import CheckpointError, MissingWeightsError
from posegen.weights import WeightsFile, download_weights, find_weights, sha256

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    """Set torch's folder of weight files to a temporary one."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def file(**changes: object) -> WeightsFile:
    arguments = dict(name="a network", file_name="net.pth", address="https://example.org/net.pth", sha256=DIGEST[:8])
    return WeightsFile(**{**arguments, **changes})


# find_weights


def test_a_missing_file_is_an_error_with_name_address_and_folder(home: Path) -> None:
    with pytest.raises(MissingWeightsError) as error:
        find_weights(file(used_by=("Distance",)))
    for told in (
        "Distance",
        "a network",
        "net.pth",
        "https://example.org/net.pth",
        str(home),
        "nothing is downloaded unasked",
    ):
        assert told in str(error.value)


def test_a_file_in_its_place_is_found_where_its_checksum_agrees(home: Path) -> None:
    (home / "net.pth").write_bytes(CONTENT)
    for known in (DIGEST, DIGEST[:8], ""):
        assert find_weights(file(sha256=known)) == home / "net.pth"
    assert find_weights(file(folder=home)) == home / "net.pth"


def test_a_damaged_file_is_refused(home: Path) -> None:
    (home / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(CheckpointError, match=rf"damaged.*{DIGEST[:8]}.*https://example.org/net.pth"):
        find_weights(file())


def test_a_path_that_the_user_gives_is_not_verified(home: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(b"something else")
    assert find_weights(file(), own) == own
    with pytest.raises(MissingWeightsError, match=r"none\.pth.*no such file.*net\.pth, from https"):
        find_weights(file(), tmp_path / "none.pth")


def test_sha256_of_a_file_larger_than_a_block(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # 1.28 MB, read by the MiB
    (tmp_path / "large").write_bytes(content)
    assert sha256(tmp_path / "large") == hashlib.sha256(content).hexdigest()


# download_weights


def test_a_file_is_downloaded_verified_and_reported_on_the_way(home: Path, tmp_path: Path) -> None:
    (tmp_path / "server.pth").write_bytes(CONTENT)
    seen: list[tuple[int, int]] = []
    address = (tmp_path / "server.pth").as_uri()
    assert download_weights(file(address=address), lambda *numbers: seen.append(numbers)) == home / "net.pth"
    assert (home / "net.pth").read_bytes() == CONTENT
    assert seen == [(len(CONTENT), len(CONTENT))]


def test_a_download_of_another_checksum_is_not_kept(home: Path, tmp_path: Path) -> None:
    (tmp_path / "server.pth").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="damaged, or another file"):
        download_weights(file(address=(tmp_path / "server.pth").as_uri()))
    assert left_over(home) == []


@pytest.mark.parametrize(
    ("name", "words"), [("none.pth", "cannot be downloaded"), ("net.zip", "is an archive: unpack")]
)
def test_a_download_that_fails_says_why(home: Path, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(MissingWeightsError, match=words):
        download_weights(file(address=(tmp_path / name).as_uri()))
    assert left_over(home) == []


class Server(ThreadingHTTPServer):
    """A server on this machine that sends one file, by parts if *ranges*, and ends after *most* bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.ranges, self.most = content, True, len(content)
        self.asked: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : start + server.most])

    def log_message(self, *_: object) -> None:
        """Print nothing."""


LARGE = bytes(range(256)) * 12000  # 3 MB: several blocks


@pytest.fixture
def server():
    with Server(LARGE) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def served(server: Server, **changes: object) -> WeightsFile:
    address = f"http://127.0.0.1:{server.server_port}/net.pth"
    return file(**{"address": address, "sha256": hashlib.sha256(server.content).hexdigest(), **changes})


def left_over(home: Path) -> list[str]:
    return [path.name for path in home.iterdir() if not path.name.endswith(".lock")]


def test_a_download_that_was_cut_is_gone_on_with(server: Server, home: Path) -> None:
    server.most = 1_500_000
    with pytest.raises(MissingWeightsError) as error:
        download_weights(served(server))
    for told in ("net.pth", f"http://127.0.0.1:{server.server_port}", "1,500,000 of 3,072,000 bytes", str(home)):
        assert told in str(error.value)
    assert not (home / "net.pth").exists()
    server.most = len(LARGE)
    seen: list[tuple[int, int]] = []
    download_weights(served(server), lambda *numbers: seen.append(numbers))
    assert (home / "net.pth").read_bytes() == LARGE
    assert server.asked == [None, "bytes=1500000-"]
    assert seen[0][0] > 1_500_000
    assert seen[-1] == (len(LARGE), len(LARGE))
    assert left_over(home) == ["net.pth"]


@pytest.mark.parametrize("received", [1_500_000, len(LARGE) + 5])
def test_a_server_without_parts_or_with_a_shorter_file_sends_all_of_it(
    server: Server, home: Path, received: int
) -> None:
    (home / ".net.pth.download").write_bytes(b"?" * received)
    server.ranges = received > len(LARGE)
    download_weights(served(server))
    assert (home / "net.pth").read_bytes() == LARGE


def test_a_download_that_was_complete_needs_no_more_bytes(server: Server, home: Path) -> None:
    (home / ".net.pth.download").write_bytes(LARGE)
    download_weights(served(server))
    assert server.asked == [f"bytes={len(LARGE)}-"]
    assert (home / "net.pth").read_bytes() == LARGE


def test_a_part_of_another_file_is_found_by_the_checksum_and_begun_anew(server: Server, home: Path) -> None:
    (home / ".net.pth.download").write_bytes(b"?" * 1000)
    with pytest.raises(CheckpointError, match="damaged, or another file"):
        download_weights(served(server))
    download_weights(served(server))
    assert (home / "net.pth").read_bytes() == LARGE


def test_without_a_published_checksum_nothing_is_gone_on_with(server: Server, home: Path) -> None:
    (home / ".net.pth.download").write_bytes(b"?" * 1000)
    download_weights(served(server, sha256=""))
    assert (home / "net.pth").read_bytes() == LARGE
    assert server.asked == [None]


def test_a_file_of_a_limited_size_is_taken_out_of_its_archive(server: Server, home: Path, monkeypatch) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/b/net.onnx", CONTENT)
        archive.writestr("a/readme.txt", "read me")
    server.content, server.most = packed.getvalue(), len(packed.getvalue())
    address = f"http://127.0.0.1:{server.server_port}/net.zip"
    inside = file(file_name="mine.onnx", address=address, member="net.onnx", sha256=DIGEST)
    assert download_weights(inside).read_bytes() == CONTENT
    assert left_over(home) == ["mine.onnx"]
    other = file(file_name="other.onnx", address=address, member="none.onnx", sha256=DIGEST)
    with pytest.raises(CheckpointError, match=r"no ZIP archive with one none\.onnx"):
        download_weights(other)
    monkeypatch.setattr("posegen.weights.MOST_BYTES", len(CONTENT) - 1)
    large = file(file_name="large.onnx", address=address, member="net.onnx", sha256=DIGEST)
    with pytest.raises(CheckpointError, match=f"it would take {len(CONTENT):,} bytes"):
        download_weights(large)


def test_no_server_is_an_error_with_file_and_address(home: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/net.pth"
        with pytest.raises(MissingWeightsError, match=rf"net\.pth: {address} cannot be downloaded.*refused"):
            download_weights(file(address=address))
    assert left_over(home) == []


def test_a_file_that_another_process_downloads_is_left_to_it(home: Path, server: Server) -> None:
    with FileLock(home / ".net.pth.download.lock"), pytest.raises(MissingWeightsError, match="another process"):
        download_weights(served(server))
    assert server.asked == []


# Declared weights


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("ALEXNET", models.AlexNet_Weights),
        ("VGG16", models.VGG16_Weights),
        ("SQUEEZENET", models.SqueezeNet1_1_Weights),
        ("INCEPTION_TORCHVISION", models.Inception_V3_Weights),
    ],
)
def test_addresses_and_checksums_are_torchvisions(ours: str, theirs: type) -> None:
    declared = getattr(posegen_metrics.weights, ours)
    assert declared.address == theirs.IMAGENET1K_V1.url
    assert len(declared.sha256) == 8
    assert f"-{declared.sha256}.pth" in theirs.IMAGENET1K_V1.url


def test_clean_fids_network_has_clean_fids_address() -> None:
    from cleanfid.downloads_helper import inception_url

    assert posegen_metrics.weights.INCEPTION_CLEAN.address == inception_url


# posegen weights


PLUGIN = f"""
from posegen.hookspecs import hookimpl
from posegen.weights import WeightsFile

@hookimpl
def posegen_catalogue():
    return [
        WeightsFile("right one", "right.pth", ADDRESS, "{DIGEST}", used_by=("A", "B")),
        WeightsFile("odd one", "odd.pth", "https://example.org/odd.pth", "00000000"),
        WeightsFile("unsigned one", "unsigned.pth", "https://example.org/unsigned.pth"),
    ]
"""


@pytest.fixture
def listed(home: Path, tmp_path: Path, capsys):
    """Run the command; return the exit status, the row of each file by name, and the output."""
    (tmp_path / "server.pth").write_bytes(CONTENT)
    plugin = PLUGIN.replace("ADDRESS", repr((tmp_path / "server.pth").as_uri()))
    (tmp_path / "brings_weights.py").write_text(plugin, encoding="utf-8")

    def run(*arguments: str) -> tuple[int, dict[str, str], str]:
        capsys.readouterr()
        status = main(["weights", "--plugin", str(tmp_path / "brings_weights.py"), *arguments])
        printed = capsys.readouterr().out
        table = printed.partition("\n\n")[0].splitlines()
        return status, {line.split("  ")[0]: line for line in table[1:]}, printed

    with plugins.temporary():
        yield run


def test_missing_files_are_listed_with_their_addresses_and_are_no_failure(listed, home: Path) -> None:
    status, rows, printed = listed()
    assert status == 0
    assert {"right one", "VGG-19, ImageNet (torchvision)", "AlexNet, ImageNet (torchvision)"} <= rows.keys()
    assert printed.count("VGG-16, ImageNet (torchvision)") == 1  # of the losses and of a metric
    assert "VGG16Features, LPIPS" in rows["VGG-16, ImageNet (torchvision)"]
    assert "A, B" in rows["right one"]
    assert f"missing: {home / 'right.pth'}" in rows["right one"]
    assert "https://example.org/odd.pth" in printed
    assert list(home.iterdir()) == []  # nothing is downloaded unasked


def test_chosen_files_are_downloaded(listed, home: Path) -> None:
    status, rows, _ = listed("--download", "right.pth")
    assert status == 0
    assert "  right  " in rows["right one"].removeprefix("right one")
    assert left_over(home) == ["right.pth"]
    assert listed("--download", "rihgt.pth")[0] == 1


def test_names_or_all_are_asked_for(listed, home: Path) -> None:
    assert listed("--download")[0] == 1
    assert listed("--download", "right.pth", "--all")[0] == 1
    assert left_over(home) == []


def test_all_missing_files_are_downloaded_and_all_failures_told(
    home: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    content = [file(file_name=f"{name}.pth", address=(tmp_path / f"{name}.pth").as_uri()) for name in "abc"]
    for name in "ac":
        (tmp_path / f"{name}.pth").write_bytes(CONTENT)
    monkeypatch.setattr("posegen.cli.weights.known_files", lambda: content)
    assert main(["weights", "--download", "--all"]) == 1
    assert "b.pth cannot be downloaded" in capsys.readouterr().err
    assert sorted(left_over(home)) == ["a.pth", "c.pth"]


def test_checksums_are_verified_unless_declined(listed, home: Path) -> None:
    for name in ("right", "odd", "unsigned"):
        (home / f"{name}.pth").write_bytes(CONTENT)
    status, rows, printed = listed("--no-verify")
    assert status == 0
    assert "not verified" in rows["right one"]
    assert "https://example.org" not in printed
    status, rows, _ = listed()
    assert status == 1
    assert "  right  " in rows["right one"].removeprefix("right one")
    assert "  wrong  " in rows["odd one"]
    assert "not published" in rows["unsigned one"]
    (home / "odd.pth").unlink()
    assert listed()[0] == 0
