"""The report in Chromium: looked at, hovered, zoomed, sorted, and read back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import write_episode, write_evaluation, write_run

from dmaml_jax import cli
from dmaml_jax.build import configuration
from dmaml_jax.config.command_line import rerun
from dmaml_jax.results.curves import read_runs, summarise
from dmaml_jax.statistics import ema, interquartile_mean

pytestmark = [
    pytest.mark.browser,
    pytest.mark.float32,
    # selenium leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DESKTOP, PHONE = (1200, 900), (390, 844)
LOOKS = [(size, dark) for size in (DESKTOP, PHONE) for dark in (False, True)]
Open = Callable[..., Any]


@pytest.fixture
def one(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "mine")
    write_evaluation(folder)
    write_episode(folder)
    assert cli.main(["report", str(folder)]) == 0
    return folder


@pytest.fixture
def two(tmp_path: Path) -> Path:
    folders = [
        write_run(tmp_path / name, speed=speed)
        for name, speed in (("fast", 4.0), ("slow & <b>steady", 9.0))
    ]
    for folder in folders:
        write_evaluation(folder)
    out = tmp_path / "two.html"
    assert cli.main(["report", *map(str, folders), "--out", str(out)]) == 0
    return out


def find(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def find_all(driver: Any, selector: str) -> list[Any]:
    return driver.find_elements("css selector", selector)


def click(driver: Any, element: Any) -> None:
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def fits(driver: Any) -> bool:
    """Whether nothing sticks out sideways."""
    return driver.execute_script(
        "const e = document.documentElement; return e.scrollWidth <= e.clientWidth"
    )


def view(driver: Any, chart: str = "curves") -> list[float]:
    """The horizontal range that a figure shows."""
    return [
        float(x)
        for x in find(driver, f"#{chart} svg").get_attribute("data-view").split()
    ]


def at(driver: Any, chart: str, share: float) -> tuple[Any, int, int]:
    """A figure and the offset from its middle of a place in its plotting area."""
    svg = find(driver, f"#{chart} svg")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", svg)
    left, right = 52, svg.rect["width"] - 12
    return svg, round(left + share * (right - left) - svg.rect["width"] / 2), 0


def hover(driver: Any, chart: str, share: float) -> list[str]:
    from selenium.webdriver import ActionChains

    ActionChains(driver).move_to_element_with_offset(
        *at(driver, chart, share)
    ).perform()
    return find(driver, f"#{chart} .tip").text.splitlines()


def drag(driver: Any, chart: str, start: float, end: float) -> None:
    from selenium.webdriver import ActionChains

    _, begin, _ = at(driver, chart, start)
    svg, stop, _ = at(driver, chart, end)
    chain = ActionChains(driver).move_to_element_with_offset(svg, begin, 0)
    chain.click_and_hold().move_by_offset((stop - begin) // 2, 3)
    chain.move_by_offset(stop - begin - (stop - begin) // 2, 0).release().perform()


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_the_page_fits_and_can_be_read(
    open_page: Open, one: Path, size: tuple[int, int], dark: bool
) -> None:
    driver = open_page(one / "report.html", size, dark)
    assert driver.title == "directed-maml on cartpole"
    summary = summarise(read_runs([one]), 190.0)[0]
    verdict = find(driver, "#verdict").text
    assert f"median epoch {summary.to_threshold['epochs']:g}" in verdict
    assert fits(driver)
    for chart in ("curves", "by-step", "by-task"):
        svg = find(driver, f"#{chart} svg").rect
        assert 200 <= svg["height"] <= 400 and svg["width"] > 250
        assert svg["x"] >= 0 and svg["x"] + svg["width"] <= size[0]
    image = find(driver, "details.episode img")
    assert driver.execute_script("return arguments[0].naturalWidth", image) == 90
    # Every text has enough contrast with what lies behind it (WCAG AA).
    for ratio, words in driver.execute_script(CONTRASTS):
        assert ratio >= 4.5, words
    # Side by side on a desk, one above the other on a phone.
    first, second = (find(driver, f"#{name}").rect for name in ("by-step", "by-task"))
    assert (first["y"] == second["y"]) == (size == DESKTOP)
    if size == PHONE:
        for button in find_all(driver, ".zoom button, .choice span"):
            assert button.rect["height"] >= 40


CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgb = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => {
  const f = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
};
const found = [];
for (const node of document.querySelectorAll("body *")) {
  const words = [...node.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim());
  if (!words.join("") || !node.checkVisibility() || node.closest("noscript, script, style, .skip")) continue;
  const style = getComputedStyle(node);
  let behind = node;
  while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
  const back = light(rgb(getComputedStyle(behind || document.documentElement).backgroundColor));
  const front = light(rgb(node instanceof SVGElement ? style.fill : style.color));
  found.push([(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), words.join(" ")]);
}
return found;
"""  # noqa: E501


def test_light_and_dark_follow_the_system_and_the_button(
    open_page: Open, one: Path
) -> None:
    def paper(driver: Any) -> str:
        return driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor"
        )

    papers = {}
    for dark in (False, True):
        driver = open_page(one / "report.html", DESKTOP, dark)
        papers[dark] = paper(driver)
        button = find(driver, "#theme")
        assert button.text == ("Light" if dark else "Dark")
        click(driver, button)
        assert paper(driver) != papers[dark]
        click(driver, button)
        assert paper(driver) == papers[dark]
    assert papers[False] != papers[True]


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_hovering_reads_the_metrics_own_numbers(
    open_page: Open, one: Path, size: tuple[int, int]
) -> None:
    driver = open_page(one / "report.html", size)
    (run,) = read_runs([one])
    for share in (0.1, 0.5, 0.93):
        lines = hover(driver, "curves", share)
        epoch = int(lines[0].removeprefix("epoch "))
        assert abs(epoch - (1 + share * 59)) <= 1
        row = run.smoothed[epoch - 1]
        assert lines[1] == "interquartile mean"
        assert float(lines[2].split()[0]) == pytest.approx(
            float(interquartile_mean(row)), abs=0.051
        )
        names, values = lines[3::2], lines[4::2]
        assert names == [f"seed {seed}" for seed in run.seeds]
        np.testing.assert_allclose([float(v) for v in values], row, atol=0.051)
    tip, stage = (find(driver, f"#curves {part}").rect for part in (".tip", ".stage"))
    assert tip["x"] >= stage["x"]
    assert tip["x"] + tip["width"] <= stage["x"] + stage["width"] + 1
    # The raw column is what is smoothed.
    assert np.isfinite(ema(run.smoothed)).all()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_zooming_by_dragging_buttons_and_keys(
    open_page: Open, one: Path, size: tuple[int, int]
) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = open_page(one / "report.html", size)
    assert view(driver) == [1, 60]
    drag(driver, "curves", 0.2, 0.6)
    low, high = view(driver)
    assert low == pytest.approx(1 + 0.2 * 59, abs=0.6)
    assert high == pytest.approx(1 + 0.6 * 59, abs=0.6)
    epoch = int(hover(driver, "curves", 0.5)[0].removeprefix("epoch "))
    assert abs(epoch - (low + high) / 2) <= 1
    buttons = {
        button.get_attribute("aria-label"): button
        for button in find_all(driver, "#curves .zoom button")
    }
    click(driver, buttons["Move right"])
    moved = view(driver)
    assert moved[0] == pytest.approx(low + (high - low) / 2)
    assert moved[1] - moved[0] == pytest.approx(high - low)
    click(driver, buttons["Show all"])
    assert view(driver) == [1, 60]
    click(driver, buttons["Zoom in"])
    assert view(driver) == pytest.approx([15.75, 45.25])
    click(driver, buttons["Zoom out"])
    assert view(driver) == [1, 60]
    svg = find(driver, "#curves svg")
    svg.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert find(driver, "#curves .tip").text.startswith("epoch 3\n")
    svg.send_keys(Keys.ARROW_LEFT)
    assert find(driver, "#curves .tip").text.startswith("epoch 2\n")
    svg.send_keys("+")
    assert view(driver)[1] - view(driver)[0] == pytest.approx(29.5)
    svg.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.NULL)
    assert view(driver)[0] > 1
    assert "showing" in svg.get_attribute("aria-label")
    svg.send_keys(Keys.ESCAPE)
    assert view(driver) == [1, 60]


def test_the_axis_and_every_seed_can_be_chosen(open_page: Open, one: Path) -> None:
    driver = open_page(one / "report.html")
    (run,) = read_runs([one])
    ends = {"steps": run.costs["steps"], "seconds": run.costs["seconds"]}
    assert len(find_all(driver, "#curves .curve.thin")) == 4
    for axis, costs in ends.items():
        click(driver, find(driver, f'input[name="axis"][value="{axis}"] + span'))
        assert view(driver) == pytest.approx([costs.min(), costs.max()], rel=1e-6)
        assert find(driver, "#curves .tip").text == ""
        first = hover(driver, "curves", 0.5)[0]
        assert first.startswith(
            {"steps": "environment steps", "seconds": "seconds"}[axis]
        )
    click(driver, find(driver, "#each-seed"))
    assert find_all(driver, "#curves .curve.thin") == []
    assert len(find_all(driver, "#curves .curve.line")) == 1


def test_the_adaptation_figures_follow_their_controls(
    open_page: Open, one: Path
) -> None:
    driver = open_page(one / "report.html")
    assert len(find_all(driver, "#by-step .dot")) == 2 * 3  # two starts, 0 to 2 steps
    assert len(find_all(driver, "#by-task .dot")) == 2 * 2 * 12
    before = hover(driver, "by-step", 0.5)
    assert before[:2] == ["adaptation steps 1", "meta-learned"]
    click(driver, find(driver, 'input[name="set"][value="out-of-range"] + span'))
    after = hover(driver, "by-step", 0.5)
    assert after[2] != before[2] and abs(float(after[2].split()[0]) - 160) < 2
    entry = find_all(driver, "#by-task .legend button")[0]
    click(driver, entry)
    assert entry.get_attribute("aria-pressed") == "false"
    assert len(find_all(driver, "#by-task .dot")) == 3 * 12
    click(driver, entry)
    assert len(find_all(driver, "#by-task .dot")) == 4 * 12


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_two_runs_side_by_side(
    open_page: Open, two: Path, size: tuple[int, int], dark: bool
) -> None:
    driver = open_page(two, size, dark)
    assert fits(driver)
    assert "against fast (4 matching seeds)" in find(driver, "#verdict").text
    lines = hover(driver, "curves", 0.2)
    assert [lines[1], lines[3]] == ["fast", "slow & <b>steady"]
    assert find_all(driver, "b b, td b") == []
    buttons = find_all(driver, "#curves .legend button")
    assert [button.text for button in buttons] == ["fast", "slow & <b>steady"]
    click(driver, buttons[0])
    assert len(find_all(driver, "#curves .curve.line")) == 1
    assert "slow" in hover(driver, "curves", 0.2)[1]


def test_tables_sort_by_number_and_back(open_page: Open, tmp_path: Path) -> None:
    config = configuration(seeds=12, epochs=20)
    folder = write_run(tmp_path / "many", config=config, frozen={3: 5, 7: 2})
    assert cli.main(["report", str(folder)]) == 0
    driver = open_page(folder / "report.html")
    click(driver, find(driver, "#learning details summary"))

    def column(index: int) -> list[str]:
        return [
            row.find_elements("css selector", "td, th")[index].text
            for row in find_all(driver, "#learning details tbody tr")
        ]

    heads = find_all(driver, "#learning details thead th")
    assert column(0) == [str(seed) for seed in range(1, 13)]
    click(driver, heads[1].find_element("css selector", "button"))
    assert heads[1].get_attribute("aria-sort") == "ascending"
    values = [float(x) for x in column(1) if x != "-"]
    assert values == sorted(values) and column(1)[-2:] == ["-", "-"]
    click(driver, heads[1].find_element("css selector", "button"))
    assert heads[1].get_attribute("aria-sort") == "descending"
    assert [float(x) for x in column(1)[:10]] == sorted(values, reverse=True)
    assert column(1)[-2:] == ["-", "-"]
    click(driver, heads[0].find_element("css selector", "button"))
    assert column(0) == [str(seed) for seed in range(1, 13)]


def test_the_command_can_be_copied(open_page: Open, one: Path) -> None:
    driver = open_page(one / "report.html")
    driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    button = find(driver, "#rerun .copy")
    click(driver, button)
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 5).until(lambda _: button.text == "Copied")
    copied = driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0], arguments[0])"
    )
    (run,) = read_runs([one])
    assert copied == rerun(run.config)


def test_the_keyboard_reaches_everything(open_page: Open, one: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = open_page(one / "report.html")
    reached = []
    for _ in range(60):
        find(driver, "body").send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        described = driver.execute_script(
            "const e = arguments[0], chart = e.closest('.chart');"
            "return [e.tagName.toLowerCase(), chart ? chart.id : e.id || e.className,"
            "getComputedStyle(e).outlineStyle]",
            active,
        )
        reached.append(tuple(described[:2]))
        if described[0] not in ("body", "input"):
            assert described[2] != "none", described
    for wanted in (
        ("button", "theme"),
        ("svg", "curves"),
        ("button", "curves"),
        ("svg", "by-task"),
        ("button", "copy"),
    ):
        assert wanted in reached, (wanted, reached)
