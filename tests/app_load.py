"""Many browsers at once, without browsers: clients of a running page that move a pose again and again, as its script
does. Loopback only, and it ends by itself.

    posegen app CONFIG CHECKPOINT --port 7860 &
    python -m tests.app_load http://127.0.0.1:7860/ --clients 8 --actions 5
"""

from __future__ import annotations

import argparse
import io
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

TIMEOUT = 300
"""Seconds that an action may take; a client that waits longer has failed."""


@dataclass
class Report:
    """Seconds that actions took, and what went wrong with others."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.seconds:
            return f"nothing succeeded; {len(self.failures)} failures: {sorted(set(self.failures))[:5]}"
        median, late = np.quantile(self.seconds, [0.5, 0.95])
        told = f"{len(self.seconds)} actions, median {median:.2f} s, 95th percentile {late:.2f} s"
        return f"{told}, {len(self.failures)} failures {sorted(set(self.failures))[:5] or ''}"


class Client:
    """One browser's session.

    Args:
        address: of the page, on this machine's loopback.
    """

    def __init__(self, address: str) -> None:
        if urlsplit(address).hostname not in ("127.0.0.1", "localhost"):
            raise ValueError(f"{address} is not this machine: this drives pages of one's own")
        self.address = address.rstrip("/")
        self.session = uuid.uuid4().hex
        self.config = json.loads(self._open("/config").read())
        self.names = {part["id"]: part["props"].get("elem_id") for part in self.config["components"]}
        self.values = {part["id"]: part["props"].get("value") for part in self.config["components"]}

    def load(self) -> None:
        """What the page does once it is loaded: the first example, and its result. One without examples is given a
        picture."""
        events = {event: d for d in self.config["dependencies"] for _, event in d["targets"]}
        loaded = events.get("load")
        if loaded is None:
            self.upload("source-files", "a.png", _noise())
            loaded = self.event("source-files", "upload")
        self.follow(loaded)
        self.call(self.event("pose-editor", "moved"))

    def follow(self, dependency: dict[str, Any]) -> None:
        """As :meth:`call`, of an event that gives parts of the page other values."""
        for part, update in zip(dependency["outputs"], self.call(dependency), strict=True):
            if isinstance(update, dict) and "value" in update:
                self.values[part] = update["value"]

    def move(self, by: float) -> dict[str, Any]:
        """Move the first point of the target by so many pixels, and wait for the result: the viewer's update."""
        editor = next(part for part, name in self.names.items() if name == "pose-editor")
        self.values[editor]["points"][0][0] += by
        return self.call(self.event("pose-editor", "moved"))[1]

    def event(self, name: str, event: str) -> dict[str, Any]:
        """What an event of a part leads to."""
        part = next(part for part, known in self.names.items() if known == name)
        return next(d for d in self.config["dependencies"] if [part, event] in [[*target] for target in d["targets"]])

    def upload(self, name: str, file: str, content: bytes) -> None:
        """Give a part a file; the event of it is another call."""
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{file}"\r\n\r\n'.encode()
        answer = self._open("/gradio_api/upload", head + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")
        part = next(part for part, known in self.names.items() if known == name)
        self.values[part] = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in json.loads(answer.read())]

    def call(self, dependency: dict[str, Any], told: Any = None) -> list[Any]:
        """One event of the page, as its script sends it, with what it tells; what the page answers.

        Raises:
            RuntimeError: the page says no, or answers with an error.
        """
        data = [self.values.get(part) for part in dependency["inputs"]]
        body = {"data": data, "fn_index": dependency["id"], "session_hash": self.session, "event_data": told}
        self._open("/gradio_api/queue/join", json.dumps(body).encode()).read()
        with self._open(f"/gradio_api/queue/data?session_hash={self.session}") as stream:
            for line in stream:
                message = json.loads(line[len(b"data: ") :]) if line.startswith(b"data: ") else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(str(message["output"])[:200])
                    return message["output"]["data"]
        raise RuntimeError("the page closed the stream")

    def _open(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        headers = {} if body is None else {"Content-Type": kind}
        try:
            return urllib.request.urlopen(urllib.request.Request(self.address + path, body, headers), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code}: {error.read().decode()[:200]}") from error


def _noise() -> bytes:
    """A PNG file of noise."""
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)).save(content, "png")
    return content.getvalue()


def drive(address: str, clients: int, actions: int) -> Report:
    """So many clients at once, each of which moves a point so many times, one after the other, without a pause."""
    report, lock = Report(), threading.Lock()

    def measured(action: Callable[[], Any]) -> None:
        start = time.perf_counter()
        try:
            action()
        except Exception as error:
            with lock:
                report.failures.append(f"{type(error).__name__}: {error}")
            return
        with lock:
            report.seconds.append(time.perf_counter() - start)

    def one() -> None:
        try:
            client = Client(address)
            client.load()
        except Exception as error:
            with lock:
                report.failures.append(f"a client that came: {type(error).__name__}: {error}")
            return
        for _ in range(actions):
            measured(lambda: client.move(1))

    threads = [threading.Thread(target=one, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT * (actions + 2))
    return report


def main() -> None:
    """What this module's docstring says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="one row each")
    parser.add_argument("--actions", type=int, default=5, help="of each client")
    given = parser.parse_args()
    for clients in given.clients:
        print(f"{clients} clients: {drive(given.address, clients, given.actions)}", flush=True)


if __name__ == "__main__":
    main()
