"""A page in headless Chromium, which a test operates as a person does: by clicks and keys."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.waiting import wait_for

TIMEOUT = 90


class Browser:
    """A tab, by the Chrome DevTools Protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Make a call and return its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := json.loads(self._connection.recv(TIMEOUT))).get("id") != number:
            pass
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        """Click on the middle of the first element of a selector."""
        quoted = json.dumps(selector)
        self.value(f"document.querySelector({quoted}).scrollIntoView({{block: 'center'}})")
        box = self.value(f"document.querySelector({quoted}).getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **at)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def clipboard(self) -> str:
        """What was copied."""
        return str(self.value("navigator.clipboard.readText()"))


@contextlib.contextmanager
def opened(page: Path, folder: Path) -> Iterator[Browser]:
    """Open a page, with its profile in a folder; ends the browser at the end."""
    profile = folder / "chromium"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    environment = os.environ | {"HOME": str(folder)}
    port_file = profile / "DevToolsActivePort"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(["chromium", *words, "about:blank"], env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: port_file.exists() and port_file.read_text().count("\n") > 0, "the browser", timeout=TIMEOUT)
        port, path = port_file.read_text().split()[:2]
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, open_timeout=TIMEOUT, proxy=None) as whole:
            target = Browser(whole).call("Target.createTarget", url=page.as_uri())["targetId"]
            permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
            Browser(whole).call("Browser.grantPermissions", permissions=permissions)
            address = f"ws://127.0.0.1:{port}/devtools/page/{target}"
            with connect(address, max_size=None, open_timeout=TIMEOUT, proxy=None) as connection:
                browser = Browser(connection)
                browser.call("Page.bringToFront")
                wait_for(lambda: browser.value("document.readyState") == "complete", "the page", timeout=TIMEOUT)
                yield browser
    finally:
        process.terminate()
        process.wait(TIMEOUT)
