"""`python -m experiments figure2 --bill`."""

import sys

from experiments.engine.command import main

if __name__ == "__main__":
    sys.exit(main())
