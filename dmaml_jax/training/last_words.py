"""A child that says its parent's last words, should that die without saying them.

`joining.LastWords` starts this file by a Python without its site packages, which is
there at once: nothing may be imported here but what every Python has.
"""

import signal
import sys

NEXT, OF = "\x1e", "\x1f"
"""What ends each message, and what stands in it between the words and their file."""


def main() -> None:
    """Read until the parent ends; the last message counts, and may be empty."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    heard = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    last = heard.rpartition(NEXT)[0].rpartition(NEXT)[2]
    words, _, file = last.partition(OF)
    if not words:
        return
    sys.stderr.write(words + "\n")
    sys.stderr.flush()
    if file:
        with open(file, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.write(words + "\n")


if __name__ == "__main__":
    main()
