"""A real browser for tests: Chromium without a window, driven by selenium.

Where CI=true, a missing browser is a failure; elsewhere the tests that need one say why
they are skipped.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVERS = ("chromedriver", "chromium-driver", "chromium.chromedriver")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    # The browser's own business with its maker would hide what the page asks for.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--window-size=1300,1000",
)

_NO_HOST = frozenset({"data", "blob", "about", "chrome"})
"""Schemes that ask nobody; ``chrome`` is the browser's own first tab."""

PATIENCE = 30.0
"""Seconds that a page may take to show what is waited for."""


def find_browser() -> tuple[str, str]:
    """Return browser and driver; skip the test, or fail where CI=true, without them."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = next(filter(None, map(shutil.which, DRIVERS)), None)
    if browser and driver:
        return browser, driver
    reason = (
        "no Chromium with its driver is installed (Debian: chromium, chromium-driver): "
        "the catalog was not looked at in a browser"
    )
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Browser:
    """A browser that remembers what its pages asked for and complained about."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def wait(self, selector: str, text: str = "") -> Any:
        """Return the first element that `selector` finds and that shows `text`."""

        def look(driver: Chrome) -> Any:
            found = driver.find_elements(By.CSS_SELECTOR, selector)
            return next((one for one in found if text in one.text), None)

        return WebDriverWait(
            self.driver, PATIENCE, ignored_exceptions=(StaleElementReferenceException,)
        ).until(look, f"{selector} with {text!r} did not appear")

    def wait_until(self, condition: str) -> Any:
        """Wait until the JavaScript expression `condition` is true; return its value."""
        return WebDriverWait(self.driver, PATIENCE).until(
            lambda driver: driver.execute_script(f"return {condition}"),
            f"never true: {condition}",
        )

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element, also of those out of sight."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)"
        return [text.strip() for text in self.driver.execute_script(script, selector)]

    def requests(self) -> list[str]:
        """Return the addresses asked for since the last call."""
        asked = []
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if urlsplit(url).scheme not in _NO_HOST:
                    asked.append(url)
        return asked

    def complaints(self) -> list[str]:
        """Return warnings and errors on the console since the last call."""
        return [
            f"{entry['level']}: {entry['message']}"
            for entry in self._log("browser")
            if entry["level"] in {"SEVERE", "WARNING"}
        ]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]  # Selenium's
        return entries

    def screenshot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with a fresh `profile` folder; end it afterwards."""
    browser, driver = find_browser()
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # Named, so that selenium does not look for one to download.
    started = Chrome(options=options, service=Service(executable_path=driver))
    try:
        yield Browser(started)
    finally:
        started.quit()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        # A browser that has left its page closes connections as it likes.
        with suppress(ConnectionError):
            super().handle()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve `folder` on loopback by a plain file server; yield its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
