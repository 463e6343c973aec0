"""A page in headless Chromium: expressions are evaluated in it, and what its console says is kept."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

SECONDS = 90
# Chromium's debugging protocol over two pipes, which it expects as files 3 and 4.
COMMAND = (
    'exec "$0" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$1" '
    "--remote-debugging-pipe about:blank 3<&{to} 4>&{back} >/dev/null 2>&1"
)


def require_chromium() -> str:
    """Return the path of Chromium, or skip the test."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    return found


class Browser:
    """One page of a file; a context manager that ends the browser.

    Example
    -------
    >>> with Browser(path, profile) as browser:
    ...     browser.evaluate("document.title")
    """

    def __init__(self, page: Path, profile: Path, width: int = 1280) -> None:
        self.messages: list[str] = []
        self._page, self._profile, self._width = page, profile, width
        self._number, self._text = 0, b""

    def __enter__(self) -> Browser:
        there, to = os.pipe()
        self._back, back = os.pipe()
        self._to = to
        command = ["bash", "-c", COMMAND.format(to=there, back=back), require_chromium(), str(self._profile)]
        self._process = subprocess.Popen(command, pass_fds=(there, back), stdin=subprocess.DEVNULL)
        os.close(there), os.close(back)
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _open(self) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self._call(f"{domain}.enable")
        size = {"width": self._width, "height": 900, "deviceScaleFactor": 1, "mobile": self._width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url=self._page.as_uri())
        while self.evaluate("document.readyState") != "complete":
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to), os.close(self._back)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._keep(answer)

    def _keep(self, event: dict[str, Any]) -> None:
        """Keep what the console says, errors, and every request beside that of the page and of data in it."""
        params = event.get("params", {})
        if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.messages.append(json.dumps(params))
        if event.get("method") == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if url != self._page.as_uri() and not url.startswith("data:"):
                self.messages.append(f"request of {url}")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._text:
            ready, _, _ = select.select([self._back], [], [], SECONDS)
            if not ready:
                pytest.fail("the browser does not answer")
            part = os.read(self._back, 1 << 20)
            if not part:
                pytest.fail("the browser has ended")
            self._text += part
        one, _, self._text = self._text.partition(b"\0")
        return json.loads(one)
