"""Chromium without a window, by chromedriver's HTTP interface (WebDriver) and, through it, the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
DRIVERS = ("chromedriver", f"{os.environ.get('CHROMEWEBDRIVER', '')}/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it runs as root as well, and opens nothing but our page
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
WAIT_S = 60.0


class BrowserError(RuntimeError):
    """There is no browser, or it did not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Screen:
    """``scheme``: light or dark; ``media``: screen or print. Size in CSS pixels."""

    name: str
    width: int
    height: int
    scheme: str = "light"
    scale: float = 1.0
    media: str = "screen"

    def __str__(self) -> str:
        return (
            f"{self.name} {self.width}×{self.height} {self.scheme}{'' if self.media == 'screen' else f' {self.media}'}"
        )


class Browser:
    """One window. Raises BrowserError."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, page: Path, screen: Screen) -> None:
        """The page as this screen shows it; waits until it is loaded."""
        self._logged()
        phone = screen.width < 600
        self._cdp(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=screen.height,
            deviceScaleFactor=screen.scale,
            mobile=phone,
        )
        features = [{"name": "prefers-color-scheme", "value": screen.scheme}]
        self._cdp("Emulation.setEmulatedMedia", media=screen.media, features=features)
        ask(f"{self._session}/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """What a function body of JavaScript returns; the page's own policy does not apply to it."""
        return ask(f"{self._session}/execute/sync", {"script": script, "args": []})

    def picture(self, *, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        return base64.b64decode(
            self._cdp("Page.captureScreenshot", captureBeyondViewport=whole, **self._all(whole))["data"]
        )

    def _all(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self._cdp("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def requests(self) -> tuple[list[str], list[str]]:
        """Addresses that were asked for, and errors and warnings of the console, since the last call or ``open``."""
        asked: list[str] = []
        said: list[str] = []
        for message in self._logged():
            parameters = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(parameters["request"]["url"])
            elif message["method"] == "Log.entryAdded":
                said.append(parameters["entry"]["text"])
            elif message["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                said.append(json.dumps(parameters)[:300])
        said += [entry["message"] for entry in ask(f"{self._session}/se/log", {"type": "browser"})]
        return asked, said

    def _logged(self) -> list[dict[str, Any]]:
        entries = ask(f"{self._session}/se/log", {"type": "performance"})
        return [json.loads(entry["message"])["message"] for entry in entries]

    def _cdp(self, command: str, **parameters: Any) -> dict[str, Any]:
        return dict(ask(f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters}))


@contextmanager
def browser() -> Iterator[Browser]:
    """Ends with all of its processes. Raises BrowserError."""
    binary, driver = _found(BROWSERS), _found(DRIVERS)
    with tempfile.TemporaryDirectory(prefix="oomward-browser-", ignore_cleanup_errors=True) as profile:
        command = [driver, "--port=0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                address = f"http://127.0.0.1:{_port(process)}"
                options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={profile}"]}
                wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}
                session = ask(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
                try:
                    yield Browser(f"{address}/session/{session}")
                finally:
                    ask(f"{address}/session/{session}", None)
            finally:
                process.terminate()


def ask(address: str, content: dict[str, Any] | None) -> Any:
    """The value of a WebDriver answer; ``content`` None: DELETE. Raises BrowserError."""
    data = None if content is None else json.dumps(content).encode()
    request = Request(address, data, {"Content-Type": "application/json"}, method="POST" if data else "DELETE")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=WAIT_S) as answer:
            return json.load(answer)["value"]
    except HTTPError as error:
        raise BrowserError(json.load(error)["value"]["message"]) from None
    except OSError as error:
        raise BrowserError(f"chromedriver does not answer: {error}") from None


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"successfully on port (\d+)", line):
            return int(found[1])
    raise BrowserError("chromedriver ended at once")


def _found(names: tuple[str, ...]) -> str:
    for name in names:
        if (path := shutil.which(name)) is not None:
            return path
    raise BrowserError(f"{names[0]} is not installed: run `bash scripts/setup-debian.sh browser`")
