"""A picture of a report in Chromium: docs/report.png.

Run with run folders: .venv/bin/python -m experiments.report_picture RUN [RUN ...]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from dmaml_jax import cli

PICTURE = Path(__file__).parents[2] / "docs" / "report.png"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1120,1560",
    "--virtual-time-budget=2000",
)


def main(runs: list[str]) -> int:
    """Write the report aside, and look at its first screen."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        code = cli.main(["report", *runs, "--out", str(page)])
        if code == 0:
            profile = f"--user-data-dir={folder}/profile"
            picture = f"--screenshot={PICTURE}"
            command = ["chromium", *FLAGS, profile, picture, page.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
