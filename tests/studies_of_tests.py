"""A study of toys: python studies_of_tests.py FOLDER trains it there."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from experiments.engine.command import run  # noqa: E402
from experiments.engine.declared import Block, Choice, Run, Study  # noqa: E402
from experiments.engine.drawing import draw_panel, grid, save  # noqa: E402
from experiments.engine.results import Results  # noqa: E402

TOY = {"horizon": 40, "num_tasks": 2, "num_trajectories": 2, "hidden_sizes": (4,)}


class ToyStudy(Study):
    """A study whose page stands beside its tables."""

    @property
    def home(self) -> Path:
        """Where page.md is."""
        return Path(__file__).parent / "studies" / "toy"


def toy_study(seeds: range = range(1, 5), blocks: tuple[Block, ...] = ()) -> Study:
    """Two runs of two parts each, and one whose β is chosen."""
    grid_of_rates = ({"outer_lr": 0.003}, {"outer_lr": 0.03})
    made = blocks or (
        Block(
            "plain",
            (
                Run("toy", "plain", "cartpole", "fomaml", 4, seeds, TOY),
                Run(
                    "toy", "large", "cartpole", "fomaml", 4, seeds,
                    {**TOY, "outer_lr": 0.1},
                ),
            ),
            chunk=2,
        ),
        Block(
            "tuned",
            (
                Run(
                    "toy", "tuned", "cartpole", "fomaml", 4, range(1, 3), TOY,
                    Choice(grid_of_rates, range(91, 93)),
                ),
            ),
        ),
    )  # fmt: skip
    return ToyStudy("toy", "a toy", made, draw, thresholds={"toy": 15.0})


def draw(results: Results, folder: Path) -> None:
    """Its curves."""
    figure, panels = grid(1, 2)
    for axes, axis in zip(panels[0], ("epochs", "steps"), strict=True):
        draw_panel(axes, results, "toy", axis)
    save(figure, folder / "toy.png")


if __name__ == "__main__":
    import jax

    # Compiled as the tests compile, and kept with their programs.
    jax.config.update("jax_disable_most_optimizations", True)
    place = Path(sys.argv[1])
    sys.exit(run(toy_study(), work=place / "work", out=place / "out"))
