"""Two episodes side by side, frame by frame, and the files they are kept in."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from PIL import Image

from dmaml_jax.files import writing
from dmaml_jax.pictures.scenes.look import (
    AFTER,
    BEFORE,
    INK,
    LINE,
    MUTED,
    PAPER,
    Episode,
)

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WIDTH, MARGIN, DPI = 900, 18, 100  # pixels, pixels, pixels per inch
MOST_FRAMES = 300
HOLD = 1.5  # s, of the last frame
_HEADER, _HEADING, _FOOTER = 40, 30, 104


class Panel(NamedTuple):
    """One half of the picture: the episode, and what is written above it."""

    title: str
    episode: Episode


class Film:
    """Two episodes, to be drawn at any of their steps.

    What stands still is drawn once; for a frame only what moves is drawn onto it.
    """

    def __init__(self, title: str, panels: Sequence[Panel], stage: Any) -> None:
        """Lay the picture out.

        Args:
            title: the line above the whole picture.
            panels: the episodes to show, from left to right.
            stage: how to draw them, as `scenes.stage.stage_of` returns it.
        """
        width = (WIDTH - (len(panels) + 1) * MARGIN) / len(panels)
        scene = round(width * stage.aspect)
        self.size = (WIDTH, _HEADER + _HEADING + scene + _FOOTER)
        self.stage = stage
        self._figure = plt.figure(
            figsize=(self.size[0] / DPI, self.size[1] / DPI), dpi=DPI, facecolor=PAPER
        )
        self._write(MARGIN, 24, title, fontsize=11, weight="bold")
        both = [panel.episode for panel in panels]
        self.length = max(one.length for one in both)
        self._parts = []
        returns = self._returns(both)
        for index, panel in enumerate(panels):
            left = MARGIN + index * (width + MARGIN)
            colour = BEFORE if index == 0 else AFTER
            axes = self._axes(left, _HEADER + _HEADING, width, scene)
            drawn = stage.draw(axes, panel.episode, colour, both)
            self._write(
                left,
                _HEADER + 19,
                panel.title,
                fontsize=10.5,
                color=colour,
                weight="bold",
            )
            number = self._write(left + width, _HEADER + 19, "", ha="right")
            number.set(fontsize=10.5, color=INK)
            # Where both are equal, the first one shows on both sides of the second.
            (line,) = returns.plot([], [], color=colour, lw=4.5 - 2.7 * index)
            (tip,) = returns.plot([], [], "o", color=colour, ms=8 - 2 * index)
            tip.set_clip_on(False)
            self._parts.append((panel.episode, drawn, number, line, tip))
        for artist in self._moving():
            artist.set_animated(True)
        canvas: Any = self._figure.canvas
        canvas.draw()
        self._still = canvas.copy_from_bbox(self._figure.bbox)

    def frame(self, step: int) -> np.ndarray:
        """The picture after so many steps; an episode that is over stays at its end.

        Returns:
            RGB, uint8, `[height, width, 3]`.
        """
        canvas: Any = self._figure.canvas
        canvas.restore_region(self._still)
        for episode, scene, number, line, tip in self._parts:
            own = min(step, episode.length)
            scene.show(own)
            sums = np.concatenate([[0.0], np.cumsum(episode.rewards, dtype=float)])
            over = f"{scene.outcome} · " if step >= episode.length else ""
            number.set_text(f"{over}return {_rounded(sums[own])}")
            line.set_data(np.arange(own + 1), sums[: own + 1])
            tip.set_data([own], [sums[own]])
        for artist in self._moving():
            artist.axes.draw_artist(artist) if artist.axes else artist.draw(
                canvas.get_renderer()
            )
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def steps(self, fps: float) -> tuple[list[int], float]:
        """Which steps to show, and for how many seconds each.

        No more frames a second than steps, no more than `MOST_FRAMES` in all, and
        none between the last moment with something to see and the end.
        """
        speed = self.stage.steps_per_second
        last = max(scene.last for _, scene, *_ in self._parts)
        last = min(last, self.length)
        stride = max(round(speed / fps), -(-last // MOST_FRAMES), 1)
        shown = [*range(0, last, stride), last]
        ends = [] if last == self.length else [self.length]
        return shown + ends, stride / speed

    def close(self) -> None:
        """Free the figure."""
        plt.close(self._figure)

    def _moving(self) -> Iterator[Any]:
        for _, scene, number, line, tip in self._parts:
            yield from (*scene.moving, number, line, tip)

    def _axes(self, left: float, top: float, width: float, height: float) -> Any:
        w, h = self.size
        box = (left / w, 1 - (top + height) / h, width / w, height / h)
        return self._figure.add_axes(box)

    def _write(self, left: float, top: float, text: str, **style: Any) -> Any:
        w, h = self.size
        style = {"color": INK, "va": "baseline", **style}
        return self._figure.text(left / w, 1 - top / h, text, **style)

    def _returns(self, both: Sequence[Episode]) -> Any:
        """Axes of the returns so far, below the scenes."""
        left = MARGIN + 44
        axes = self._axes(left, self.size[1] - _FOOTER + 28, WIDTH - left - 24, 46)
        sums = [np.cumsum(one.rewards, dtype=float) for one in both]
        low = min(np.min(x, initial=0.0) for x in sums)
        high = max(np.max(x, initial=0.0) for x in sums)
        room = 0.08 * max(high - low, 1e-6)
        axes.set(xlim=(0, max(self.length, 1)), ylim=(low - room, high + room))
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.tick_params(length=2, labelsize=8, colors=MUTED)
        axes.locator_params(axis="y", nbins=3)
        axes.set_title(
            "return so far, by step", fontsize=8, color=MUTED, loc="left", pad=4
        )
        return axes


def _rounded(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 and value % 1 else f"{value:.0f}"


def frames(film: Film, fps: float) -> tuple[Iterator[np.ndarray], float]:
    """A film's pictures at so many a second at most, and how long each is shown."""
    steps, seconds = film.steps(fps)
    return (film.frame(step) for step in steps), seconds


def write_gif(
    path: Path, pictures: Iterator[np.ndarray], seconds: float, comment: str = ""
) -> int:
    """Write an endless GIF.

    Args:
        path: the GIF file to write.
        pictures: the frames, each RGB in uint8 of shape `[height, width, 3]`.
        seconds: how long each frame is shown; the last one stays longer.
        comment: what the file says of itself, such as the epoch that it shows.

    Returns:
        Number of frames.
    """
    flat = _in_one_palette(list(pictures))
    durations = [max(round(seconds * 100), 2) * 10] * len(flat)  # GIF counts 10 ms
    durations[-1] += round(HOLD * 1000)
    with writing(path) as aside:
        flat[0].save(
            aside, format="GIF", save_all=True, append_images=flat[1:],
            duration=durations, loop=0, disposal=1, comment=comment.encode(),
        )  # fmt: skip
    return len(flat)


def _in_one_palette(pictures: Sequence[np.ndarray]) -> list[Image.Image]:
    """Pictures in the 256 most frequent colours of a few of them, so nothing flickers.

    Pillow looks for the palette's nearest colour once per cell of 4 shades a channel,
    from the cell's lowest corner. So the palette that it sees holds corners, no two
    alike, and the colours that they stand for come after: areas keep theirs exactly.
    """
    few = np.linspace(0, len(pictures) - 1, 8).astype(int)
    together = Image.fromarray(np.concatenate([pictures[i] for i in few]))
    counted: Any = together.getcolors(together.width * together.height)
    of_corner: dict[tuple[int, ...], tuple[int, ...]] = {}
    for _, colour in sorted(counted, reverse=True):
        of_corner.setdefault(tuple(shade & 0xFC for shade in colour), colour)
    corners = Image.new("P", (1, 1))
    corners.putpalette([shade for corner in list(of_corner)[:256] for shade in corner])
    colours = [shade for c in list(of_corner.values())[:256] for shade in c]
    flat = []
    for picture in pictures:
        image = Image.fromarray(picture)
        image = image.quantize(palette=corners, dither=Image.Dither.NONE)
        image.putpalette(colours)
        flat.append(image)
    return flat


def write_mp4(path: Path, pictures: Iterator[np.ndarray], seconds: float) -> bool:
    """Write an MP4 with ffmpeg.

    Returns:
        Whether there is an ffmpeg here, and it succeeded.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    try:
        with writing(path) as aside:
            _encode(program, aside, pictures, seconds)
    except subprocess.CalledProcessError:
        return False
    return True


def _encode(
    program: str, path: Path, pictures: Iterator[np.ndarray], seconds: float
) -> None:
    """Feed ffmpeg.

    Raises:
        CalledProcessError: it failed, or wrote nothing.
    """
    first = next(pictures)
    height, width = first.shape[:2]
    command = [
        program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", f"{1 / seconds:g}", "-i", "-",
        # The codec takes even sizes only.
        "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p",
        "-f", "mp4", str(path),
    ]  # fmt: skip
    last = first
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(first.tobytes())
            for last in pictures:
                process.stdin.write(last.tobytes())
            for _ in range(round(HOLD / seconds)):
                process.stdin.write(last.tobytes())
            process.stdin.close()
        except BrokenPipeError:  # ffmpeg has said why
            pass
    if process.returncode or not path.exists():
        raise subprocess.CalledProcessError(process.returncode, program)
