"""What a person sees while training: a bar on a terminal, lines elsewhere."""

import io

import numpy as np
import pytest

from dmaml_jax.runs.progress import Progress


class Screen(io.StringIO):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def on(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    screen.terminal = terminal
    monkeypatch.setattr("sys.stdout", screen)
    return screen


either = pytest.mark.parametrize("terminal", [True, False])


@either
def test_every_figure_is_shown(terminal, monkeypatch) -> None:
    screen = on(terminal, monkeypatch)
    progress = Progress(40)
    progress.begin()
    progress.update(40, 8.0, 16_000_000, np.array([30.0, 50.0, 10.0, np.nan]))
    progress.say("seed 4 is frozen")
    progress.close()
    shown = screen.getvalue()
    assert "2.00M steps/s" in shown and "40/40" in shown
    assert "return min 10 median 30 max 50" in shown
    assert "seed 4 is frozen" in shown
    if screen.terminal:
        assert "100%" in shown and "left" in shown and "epoch/s" in shown
    else:
        assert "5.0 epochs/s" in shown and "0 s left" in shown
        assert "\r" not in shown


def test_lines_come_no_faster_than_a_person_reads(monkeypatch) -> None:
    screen = on(False, monkeypatch)
    progress = Progress(1000)
    progress.begin()
    for done in range(1, 100):
        progress.update(done, done * 0.1, done, np.array([1.0]))
    progress.close()
    assert screen.getvalue() == ""


@either
def test_all_seeds_frozen_is_no_crash(terminal, monkeypatch) -> None:
    screen = on(terminal, monkeypatch)
    progress = Progress(1)
    progress.begin()
    progress.update(1, 1.0, 1, np.array([np.nan, np.nan]))
    progress.close()
    assert "nan" in screen.getvalue()
