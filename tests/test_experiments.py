"""The pictures that the studies draw."""

from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent


def test_the_crossing_s_titles_are_whole(tmp_path: Path, monkeypatch) -> None:
    """Nothing is drawn up to the edge of the picture."""
    monkeypatch.syspath_prepend(str(ROOT))
    from experiments.crossing.__main__ import draw

    steps = np.linspace(-40, 40, 100)
    obs = np.stack([np.stack([-steps, steps], axis=1)] * 2)
    titles = [
        f"{when} adaptation, u = 15 m/s: return 187" for when in ("before", "after")
    ]
    path = tmp_path / "crossing.png"
    draw(obs, np.array([90, 90]), titles, path)
    pixels = np.asarray(Image.open(path).convert("L"))
    for edge in (pixels[:5], pixels[-5:], pixels[:, :5], pixels[:, -5:]):
        assert edge.min() == 255
    # The titles are above the panels, whose left line is the longest black column.
    lines = (pixels < 60).sum(axis=0)
    top = np.flatnonzero(pixels[:, lines.argmax()] < 60)[0]
    assert (pixels[:top] < 60).sum() > 500
