"""A headless Chromium, driven over the WebDriver protocol (apt: chromium chromium-driver)."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1300,1000",
]
# Every address but files is led nowhere: what is seen needs no network.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"


class Browser:
    """One window."""

    def __init__(self, address: str) -> None:
        self.address = address
        chrome = {"args": [*OPTIONS, OFFLINE]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": chrome}}}
        self.address += f"/session/{self._post('/session', wanted)['sessionId']}"

    def open(self, page: Path, fragment: str = "") -> None:
        self._post("/url", {"url": "about:blank"})  # another fragment alone loads nothing
        self._post("/url", {"url": page.absolute().as_uri() + fragment})

    def run(self, script: str) -> Any:
        """Run JavaScript and return what it returns."""
        return self._post("/execute/sync", {"script": script, "args": []})

    def call(self, script: str, *values: Any) -> Any:
        """Run JavaScript with arguments and return what it gives to the function after them."""
        return self._post("/execute/async", {"script": script, "args": values})

    def wait(self, script: str) -> Any:
        """Run JavaScript until it returns something true."""
        for _ in range(100):
            found = self.run(script)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"never true: {script}")

    def into_frame(self) -> None:
        """Go on inside the page's only frame."""
        self._post("/frame", {"id": 0})

    def screenshot(self, path: Path) -> None:
        with urllib.request.urlopen(f"{self.address}/screenshot") as answer:
            path.write_bytes(b64decode(json.load(answer)["value"]))

    def close(self) -> None:
        urllib.request.urlopen(urllib.request.Request(self.address, method="DELETE")).close()

    def _post(self, path: str, data: dict[str, Any]) -> Any:
        body = json.dumps(data).encode()
        request = urllib.request.Request(f"{self.address}{path}", body)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser whose files lie in a folder, and end it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder), "HOME": str(folder)},
    )
    try:
        while True:
            with suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
                break
            assert driver.poll() is None
            time.sleep(0.05)
        window = Browser(f"http://localhost:{port}")
        try:
            yield window
        finally:  # the browser outlives its driver
            window.close()
    finally:
        driver.terminate()
        driver.wait()
