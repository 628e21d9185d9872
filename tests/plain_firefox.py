"""A Firefox that runs no script of a page. It is asked over Marionette, its own protocol, since Playwright looks at
pages by scripts in them; a message is its length, a colon and JSON.
"""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from serving import END_S, WAIT_S, wait_for

PREFERENCES = {
    "javascript.enabled": False,
    "marionette.port": 0,  # a free one, which it writes into the profile
    "browser.startup.page": 0,  # an empty one, that costs nothing
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    # Nobody else is to be asked anything.
    "browser.region.network.url": "",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
}


class Unanswered(Exception):
    """What was asked for is not there, or not any more."""


class PlainFirefox:
    """`with PlainFirefox(program, profile) as firefox:`; each method blocks until Firefox has done it."""

    def __init__(self, program: str, profile: Path) -> None:
        profile.mkdir()
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (profile / "user.js").write_text("".join(lines))
        self._port = profile / "MarionetteActivePort"
        self._command = [program, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
        self._asked = 0

    def __enter__(self) -> Self:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet)
        try:
            wait_for(lambda: self._port.exists() and bool(self._port.read_text()), "Firefox to listen")
            self._socket = socket.create_connection(("127.0.0.1", int(self._port.read_text())), WAIT_S)
            self._answers = self._socket.makefile("rb")
            self._read()  # who it is
            self._ask("WebDriver:NewSession")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._ask("Marionette:Quit", flags=["eForceQuit"])
            self._process.wait(END_S)
        finally:
            self._answers.close()
            self._socket.close()
            self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(END_S)

    def _read(self) -> Any:
        length = b""
        while (digit := self._answers.read(1)) not in (b":", b""):
            length += digit
        return json.loads(self._answers.read(int(length)))

    def _ask(self, command: str, **parameters: Any) -> Any:
        self._asked += 1
        message = json.dumps([0, self._asked, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, answer = self._read()
        if error:
            raise Unanswered(f"{command}: {error['error']}: {error['message']}")
        return answer

    def _find(self, selector: str) -> str:
        found = self._ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(next(iter(found["value"].values())))

    def open(self, address: str) -> None:
        self._ask("WebDriver:Navigate", url=address)

    def choose(self, selector: str, *paths: Path) -> None:
        self._ask("WebDriver:ElementSendKeys", id=self._find(selector), text="\n".join(map(str, paths)))

    def click(self, selector: str) -> None:
        self._ask("WebDriver:ElementClick", id=self._find(selector))

    def shows(self, selector: str) -> bool:
        return bool(self._ask("WebDriver:IsElementDisplayed", id=self._find(selector))["value"])

    def sees(self, selector: str, text: str) -> None:
        """Waits for it: a page may be on its way."""

        def is_there() -> bool:
            with suppress(Unanswered):
                return text in self._ask("WebDriver:GetElementText", id=self._find(selector))["value"]
            return False

        wait_for(is_there, f"{text!r} in {selector}")
