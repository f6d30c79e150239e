"""`python -m dmaml_jax`."""

import sys

from dmaml_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
