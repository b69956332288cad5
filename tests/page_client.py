"""A browser's session with a Gradio page, without the browser: what the page's script sends and gets."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

TIMEOUT = 300  # seconds; a machine may be busy


class Client:
    """One session with the page at an address."""

    def __init__(self, address: str) -> None:
        self.address, _, self.query = address.partition("?")
        self.session = uuid.uuid4().hex
        self.config = json.loads(self._open("config").read())
        self.parts = {part["props"].get("elem_id"): part["id"] for part in self.config["components"]}
        self.values = {part["id"]: part["props"].get("value") for part in self.config["components"]}
        parts = self.config["components"]
        self.takes_several = {part["id"]: part["props"].get("file_count") == "multiple" for part in parts}

    def trigger(self, name: str | None, event: str, sent: Any = None) -> list[Any]:
        """Trigger an event of a component (None: of the page) with what it sends; return the outputs.

        Raises:
            RuntimeError: the page refuses the event, or answers with an error.
        """
        on = [event] if name is None else [self.parts[name], event]
        events = [[list(target)[-len(on) :] for target in one["targets"]] for one in self.config["dependencies"]]
        dependency = next(d for d, targets in zip(self.config["dependencies"], events, strict=True) if on in targets)
        data = [self.values.get(part) for part in dependency["inputs"]]
        body = {"data": data, "fn_index": dependency["id"], "session_hash": self.session, "event_data": sent}
        self._open(f"gradio_api/queue/join?{self.query}", json.dumps(body).encode()).read()
        outputs = self._outputs()
        for part, output in zip(dependency["outputs"], outputs, strict=True):
            if not isinstance(output, dict) or output.get("__type__") != "update":
                self.values[part] = output
            elif "value" in output:
                self.values[part] = output["value"]
        return outputs

    def value(self, name: str) -> Any:
        """The value of a component."""
        return self.values[self.parts[name]]

    def set(self, name: str, value: Any) -> None:
        """Change the value of a component, as a user does; its event is another call."""
        self.values[self.parts[name]] = value

    def upload(self, name: str, file: str, content: bytes) -> list[Any]:
        """Upload a file to a component, and trigger its event."""
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{file}"\r\n\r\n'.encode()
        sent = self._open("gradio_api/upload", head + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")
        files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in json.loads(sent.read())]
        self.set(name, files if self.takes_several[self.parts[name]] else files[0])
        return self.trigger(name, "upload")

    def _outputs(self) -> list[Any]:
        with self._open(f"gradio_api/queue/data?session_hash={self.session}") as stream:
            for line in stream:
                message = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
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
