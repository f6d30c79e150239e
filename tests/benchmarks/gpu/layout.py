"""The package and what it needs in a folder, for an interpreter that has its own JAX.

    python3 tests/benchmarks/gpu/layout.py build/gpu-site [FOLDER OF WHEELS]

For machines with a GPU and without a network: nothing is fetched. The package is pure
Python, so it is copied as a build would lay it out, which needs no build tools.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PIP = "-m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile"


def laid_out(site: Path, wheels: Path | None) -> None:
    """Fill the folder anew.

    Args:
        site: what is to go onto PYTHONPATH; what it held is removed.
        wheels: packages that the interpreter lacks, or has in too old a version.
    """
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    if wheels is not None:
        found = sorted(str(path) for path in wheels.glob("*.whl"))
        if not found:
            sys.exit(f"error: no wheels in {wheels}")
        options = ["--no-cache-dir", "--upgrade", "--target", str(site), *found]
        subprocess.run([sys.executable, *PIP.split(), *options], check=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dmaml_jax", site / "dmaml_jax", ignore=unwanted)
    shutil.copytree(ROOT / "envs", site / "dmaml_jax" / "envs", ignore=unwanted)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    laid_out(given[0], given[1] if len(given) > 1 else None)
