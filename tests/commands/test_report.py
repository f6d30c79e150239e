"""Reports: their numbers are the files', their text is escaped, nothing is fetched."""

import base64
import csv
import html
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import write_episode, write_evaluation, write_run

from dmaml_jax import cli
from dmaml_jax.build import configuration
from dmaml_jax.commands import train
from dmaml_jax.config.command_line import rerun
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.report.payload import MOST_POINTS
from dmaml_jax.statistics import ema, interquartile_mean
from dmaml_jax.training import devices

EMPTY = {"meta", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """A parsed report: elements must nest, attributes and texts are kept."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.values: list[list[str]] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.values.append([])
        if tag in ("td", "th") and "tr" in self.open:
            self.rows[-1].append("")
            self.values[-1].append(dict(attrs).get("data-value") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def words(self) -> str:
        """What a person reads."""
        return " ".join(
            data for tag, data in self.texts if tag not in ("script", "style")
        )

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        scripts = [data for tag, data in self.texts if tag == "script"]
        return json.loads(next(data for data in scripts if data.startswith("{")))


def report(*folders: Path, out: Path | None = None) -> Page:
    where = ["--out", str(out)] if out else []
    assert cli.main(["report", *map(str, folders), *where]) == 0
    path = out or folders[0] / "report.html"
    return Page(path.read_text())


def columns(folder: Path) -> dict[str, np.ndarray]:
    """metrics.csv read by other means, `[epochs, seeds]`."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    seeds = len({row["seed"] for row in rows})
    return {
        name: np.array([float(row[name] or "nan") for row in rows]).reshape(-1, seeds)
        for name in ("epoch", "seed", "env_steps", "seconds", "return_after")
    }


def numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def test_curves_and_tables_are_those_of_the_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "mine")
    page, metrics = report(folder), columns(folder)
    (run,) = page.data["runs"]
    smoothed = ema(metrics["return_after"])
    assert [seed["seed"] for seed in run["seeds"]] == [1, 2, 3, 4]
    for lane, seed in enumerate(run["seeds"]):
        for name, column in (
            ("return", smoothed),
            ("epochs", metrics["epoch"]),
            ("steps", metrics["env_steps"]),
            ("seconds", metrics["seconds"]),
        ):
            np.testing.assert_allclose(seed[name], column[:, lane], rtol=1e-7)
    mean = run["mean"]["epochs"]
    np.testing.assert_allclose(mean["y"], interquartile_mean(smoothed), rtol=1e-7)
    np.testing.assert_array_equal(mean["x"], np.arange(1, 61))
    assert all(np.array(mean["low"]) <= mean["y"]) and all(
        np.array(mean["high"]) >= mean["y"]
    )
    for axis in ("steps", "seconds"):
        assert len(run["mean"][axis]["x"]) == len(run["mean"][axis]["y"]) > 100
        assert run["mean"][axis]["x"][-1] == min(
            seed[axis][-1] for seed in run["seeds"]
        )
    # The tables, to the digits that they show.
    by_head = {row[0]: row for row in page.rows}
    for lane in range(4):
        row = by_head[str(lane + 1)]
        first = int(np.argmax(smoothed[:, lane] >= 190))
        assert row[1] == f"{smoothed[-1, lane]:.1f}"
        assert row[2] == f"{smoothed[:, lane].mean():.1f}"
        assert row[3] == str(first + 1)
        assert row[4] == f"{metrics['env_steps'][first, lane]:,.0f}"
    # Of four seeds the middle two count. In 13 of 256 resamples they are both the least
    # one, drawn three times or more: the interval goes from the least to the greatest.
    ends = np.sort(smoothed[-1])
    final = f"{ends[1:3].mean():.1f} [{ends[0]:.1f}, {ends[3]:.1f}]"
    assert by_head["mine"][2] == final
    assert by_head["mine"][4] == "4 of 4"
    assert (
        f"directed-maml reaches the threshold of 190 on 4 of 4 seeds, median epoch "
        f"{np.median(np.argmax(smoothed >= 190, axis=0) + 1):g}; its final return is "
        f"{final} over 4 seeds." in page.words
    )


def test_the_adaptation_figure_is_the_evaluation(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "mine")
    write_evaluation(folder)
    page = report(folder)
    found = page.data["runs"][0]["evaluation"]
    summary = json.loads((folder / "evaluation.json").read_text())
    for drawn, row in zip(found["rows"], summary["rows"], strict=True):
        assert drawn == {key: row[key] for key in ("policy", "set", "returns")}
    with open(folder / "evaluation.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["policy"] == "meta"]
    for kind in ("fresh", "out-of-range"):
        tasks = found["tasks"][kind]
        for name, drawn in (("return_0", "before"), ("return_1", "after")):
            each = [float(r[name]) for r in rows if r["set"] == kind]
            expected = np.reshape(each, (12, 4)).mean(axis=1)
            np.testing.assert_allclose(tasks[drawn], expected, rtol=1e-7)
        gravity = [float(r["gravity"]) for r in rows if r["set"] == kind][::4]
        np.testing.assert_allclose(tasks["values"]["gravity"], gravity, rtol=1e-7)
    gain = summary["rows"][0]["gains"][1]
    assert (
        f"On 12 fresh tasks, adaptation by 1 step raises the return by "
        f"{gain['mean']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]" in page.words
    )
    first = next(row for row in page.rows if row[0] == "meta-learned")
    returns = summary["rows"][0]["returns"]
    assert first[1] == "12 fresh"
    assert [cell.split()[0] for cell in first[2:5]] == [
        f"{value['mean']:.1f}" for value in returns
    ]
    assert summary["command"] in page.words


def test_several_runs_are_compared_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = write_run(tmp_path / "fast", speed=4)
    slow = write_run(tmp_path / "slow", speed=9)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", str(fast), str(slow)]) == 0
    page = Page((tmp_path / "report.html").read_text())
    assert [run["label"] for run in page.data["runs"]] == ["fast", "slow"]
    assert (
        "slow against fast (4 matching seeds)" in page.words
        and "the mean over the run is significantly lower" in page.words
    )
    line = next(row for row in page.rows if row[0] == "slow")
    ends = [ema(columns(folder)["return_after"])[-1] for folder in (fast, slow)]
    differences = ends[1] - ends[0]
    # Student's with 3 degrees of freedom.
    mean, half = differences.mean(), 3.182446 * differences.std(ddof=1) / 2
    assert f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]" in line
    better = (ends[1][:, None] > ends[0]).mean()
    assert line[-1].startswith(f"{better:.2f} [")


def test_runs_of_different_environments_are_not_compared(tmp_path: Path) -> None:
    config = configuration(env="point", seeds=4, epochs=30, threshold=None)
    folders = (
        write_run(tmp_path / "pole"),
        write_run(tmp_path / "plane", config=config, done=20),
    )
    page = report(*folders, out=tmp_path / "both.html")
    assert "matching seeds" not in page.words and "against" not in page.words
    for sentence in (
        "of different environments: returns do not compare",
        "have different thresholds: none is shown",
        "have different numbers of epochs",
        "pole: directed-maml ends with a return of",
        "plane: 20 of 30 epochs are done",
        "8 notes",
    ):
        assert sentence in page.words, sentence


def test_what_differs_between_runs_comes_before_their_verdict(tmp_path: Path) -> None:
    configs = {
        "a": configuration(seeds=4, epochs=60),
        "b": configuration(seeds=4, epochs=60, horizon=50, num_trajectories=3),
    }
    folders = [write_run(tmp_path / name, config=c) for name, c in configs.items()]
    for folder, tasks in zip(folders, (12, 7), strict=True):
        write_evaluation(folder, tasks=tasks, shots=0, task_seed=0)
    words = report(*folders, out=tmp_path / "both.html").words
    told = [
        "b and a: their returns do not compare, as the tasks are others: --horizon is "
        "50 and 200.",
        "--num-trajectories is 3 and 10.",
        "b against a (4 matching seeds)",
    ]
    places = [words.index(sentence) for sentence in told]
    assert places == sorted(places)
    assert (
        "not evaluated in the same way: a: --tasks 12, --shots 10, --task-seed 0; b: "
        "--tasks 7, --shots 3, --task-seed 0." in words
    )


@pytest.mark.parametrize(
    ("epoch", "words"),
    [
        (2, "Evaluated at epoch 2, while the run is at epoch 60"),
        (None, "Evaluated at an epoch that its file does not say"),
    ],
)
def test_an_older_evaluation_is_not_told_as_the_run_s(
    tmp_path: Path, epoch: int | None, words: str
) -> None:
    folder = write_run(tmp_path / "mine")
    write_evaluation(folder, epoch=epoch)
    write_episode(folder, "old", comment="epoch 2")
    write_episode(folder, "new")
    page = report(folder)
    assert f"{words}: on 12 fresh tasks, adaptation by 1 step" in page.words
    assert f"{words}: what is said of adaptation may be out of date" in page.words
    assert f"dmaml-jax evaluate {folder} measures it anew" in page.words
    assert f"meta-learned, epoch {epoch or 'unknown'} of 60" in {
        r[0] for r in page.rows
    }
    assert "episode-old.gif shows the policy of epoch 2, while the run is at" in (
        page.words
    )
    assert "episode-new.gif shows" not in page.words
    # A table of another epoch than its summary's is not drawn beside it.
    write_evaluation(folder)
    now = report(folder)
    assert (
        "Evaluated at" not in now.words and now.data["runs"][0]["evaluation"]["tasks"]
    )
    table = (folder / "evaluation.csv").read_text()
    (folder / "evaluation.csv").write_text(re.sub(",60$", ",2", table, flags=re.M))
    assert not report(folder).data["runs"][0]["evaluation"]["tasks"]


HOSTILE = """<b>&"'</script><script>alert(1)</script>"""


def test_a_hostile_folder_s_name_is_text(tmp_path: Path) -> None:
    """In the title, the tables, the commands, the data and the GIF's caption."""
    folder = write_run(tmp_path / HOSTILE.replace("/", "-"))
    write_evaluation(folder)
    write_episode(folder, '"><i>=1')
    record = json.loads((folder / "config.json").read_text())
    record["commit"] = HOSTILE
    (folder / "config.json").write_text(json.dumps(record))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["rows"][1]["policy"] = HOSTILE
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    page = report(folder)
    assert page.data["runs"][0]["evaluation"]["rows"][1]["policy"] == HOSTILE
    assert page.data["runs"][0]["label"] == folder.name
    assert folder.name in page.words and HOSTILE in page.words
    assert not {"b", "i"} & {tag for tag, _ in page.elements}
    assert [tag for tag, _ in page.elements].count("script") == 4
    assert not any("onerror" in attributes for _, attributes in page.elements)


def test_nothing_is_fetched_and_the_page_is_whole(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "mine")
    write_evaluation(folder)
    gif = write_episode(folder)
    page = report(folder)
    source = (folder / "report.html").read_text()
    # The one address is the name of SVG's own elements.
    addresses = set(re.findall(r"\w+://[^\s\"'<>)]*", source))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\((?!#)|<link|<iframe", source)
    for tag, attributes in page.elements:
        assert (attributes.get("href") or "#").startswith("#"), tag
    sources = [
        attributes["src"] for _, attributes in page.elements if "src" in attributes
    ]
    assert [base64.b64decode(str(src).split(",")[1]) for src in sources] == [gif]
    (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert "gravity=12" in str(image["alt"])
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    for word in ("3.12.1", "0.10.2", "0123abcd", "2026-01-02 03:04", "gravity=5:15"):
        assert word in page.words
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    config = configuration(seeds=2, epochs=60, threshold=190.0)
    folder = write_run(tmp_path / "torn", config=config, done=40, frozen={2: 5})
    page = report(folder)
    for sentence in (
        "40 of 60 epochs are done",
        f"--resume {folder}",
        "Seed 2 is frozen from epoch 5 on",
        f"not evaluated on unseen tasks (dmaml-jax evaluate {folder})",
        f"No episode was rendered (dmaml-jax render {folder})",
        "reaches the threshold of 190 on 1 of 2 seeds",
    ):
        assert sentence in page.words, sentence
    row = next(row for row in page.rows if row[0] == "2")
    assert row[1] == "-" and row[3] == "never" and row[-1] == "5"
    drawn = page.data["runs"][0]["seeds"][1]["return"]
    assert drawn[4:] == [None] * 36 and None not in drawn[:4]
    assert "adaptation-title" not in {a.get("id") for _, a in page.elements}


def test_one_seed_without_a_threshold(tmp_path: Path) -> None:
    config = configuration(seeds=1, epochs=1, threshold=None)
    page = report(write_run(tmp_path / "one", config=config))
    assert "There is one seed, so there are no intervals" in page.words
    assert "ends with a return of" in page.words and "after 1 epoch" in page.words
    assert page.data["threshold"] is None
    mean = page.data["runs"][0]["mean"]["epochs"]
    assert len(mean["y"]) == 1 and mean["low"] == [None]


@pytest.mark.parametrize("frozen", [{1: 1, 2: 7}, {1: 4, 2: 9}, {1: 1, 2: 1}])
def test_no_seed_is_left(tmp_path: Path, frozen: dict[int, int]) -> None:
    """Also from the first epoch on; every axis has what there is."""
    config = configuration(seeds=2, epochs=12)
    page = report(write_run(tmp_path / "dead", config=config, frozen=frozen))
    assert "directed-maml has no seed left alive." in page.words
    mean = page.data["runs"][0]["mean"]
    for axis in ("epochs", "steps", "seconds"):
        assert any(value is not None for value in mean[axis]["y"]) == (
            max(frozen.values()) > 1
        )


def test_damaged_evaluations_are_as_none(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "mine")
    write_evaluation(folder)
    path = folder / "evaluation.json"
    path.write_text(path.read_text()[:100])
    for damaged in (path.read_text()[:100], '{"rows": [{}]}', '{"rows": 3}', "[]"):
        path.write_text(damaged)
        assert "Its evaluation.json is damaged and left out" in report(folder).words


def test_long_runs_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    config = configuration(seeds=1, epochs=2000)
    page = report(write_run(tmp_path / "long", config=config, speed=50))
    drawn = page.data["runs"][0]["seeds"][0]["epochs"]
    assert len(drawn) <= MOST_POINTS and (drawn[0], drawn[-1]) == (1, 2000)


@pytest.mark.parametrize(
    "config",
    [
        configuration(),
        configuration(env="point", algo="maml", threshold=None, vary=("goal_x=0:1",)),
        configuration(
            seeds=3, hidden_sizes=(8,), normalize_advantages=False, cpu_devices=2,
            threshold=None, vary=("gravity=5:7|13:15", "length=log:0.2:1"),
            medium_task="given", medium_values=("gravity=14",),
        ),
    ],
)  # fmt: skip
def test_the_command_gives_the_configuration_back(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(rerun(config))
    assert words[0] == "dmaml-jax"
    # JAX runs already in this process, and cannot be set up again.
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)
    read, _ = train.arguments(words[2:])
    assert read == config


def test_the_command_is_on_the_page(tmp_path: Path) -> None:
    config = configuration(seeds=2, epochs=3, vary=("gravity=5:7|13:15",))
    page = report(write_run(tmp_path / "mine", config=config))
    codes = [data for tag, data in page.texts if tag == "code"]
    assert codes == [rerun(config)] and "'gravity=5:7|13:15'" in codes[0]
    bold = [
        a for tag, a in page.elements if tag == "tr" and a.get("class") == "changed"
    ]
    assert len(bold) == 3


def test_out_names_a_file_or_a_folder(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "mine")
    for out, path in (
        (tmp_path / "pages" / "a.html", tmp_path / "pages" / "a.html"),
        (tmp_path / "pages", tmp_path / "pages" / "report.html"),
    ):
        assert cli.main(["report", str(folder), "--out", str(out)]) == 0
        assert path.stat().st_size > 10_000
    assert not (folder / "report.html").exists()


def test_wrong_input_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write_run(tmp_path / "empty", done=0)
    good = write_run(tmp_path / "good")
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    for arguments, said in (
        ([], "give one run folder"),
        ([str(tmp_path / "none")], "cannot be read"),
        ([str(tmp_path / "other")], "cannot be read"),
        ([str(empty)], "no finished epoch"),
        ([str(good), "--out", str(tmp_path / "file" / "x.html")], "--out"),
    ):
        assert cli.main(["report", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        assert said in html.unescape(error)
