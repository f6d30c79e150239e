"""Headless Chromium, started anew for every test; the tests say what is missing."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1200, 900), (390, 844)


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`(path, size, dark) -> driver`; afterwards nothing may have been logged."""
    pytest.importorskip(
        "selenium", reason="needs selenium: pip install -e '.[browser]'"
    )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary, program = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and program):
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    opened = []

    def start(path: Path, size: tuple[int, int] = DESKTOP, dark: bool = False) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = str(binary)
        width, height = size
        profile = tmp_path / f"profile-{len(opened)}"
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(service=Service(program), options=options)
        opened.append(driver)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        for command, values in (
            (
                "Emulation.setDeviceMetricsOverride",
                {
                    "width": width,
                    "height": height,
                    "deviceScaleFactor": 1,
                    "mobile": size == PHONE,
                },
            ),
            ("Emulation.setEmulatedMedia", {"features": [scheme]}),
            # What the page asked the network for would fail, and be logged.
            ("Network.enable", {}),
            (
                "Network.emulateNetworkConditions",
                {
                    "offline": True,
                    "latency": 0,
                    "downloadThroughput": 0,
                    "uploadThroughput": 0,
                },
            ),
        ):
            driver.execute_cdp_cmd(command, values)
        driver.get(path.absolute().as_uri())
        return driver

    yield start
    try:
        logged = [entry for driver in opened for entry in driver.get_log("browser")]
    finally:
        for driver in opened:
            driver.quit()
    assert logged == []
