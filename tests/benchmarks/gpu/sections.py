"""One table for each part of the report, from the data that the part gave."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.figures import Quartiles, plural


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def short(value: float | None) -> str:
    """`30 M`, `256`."""
    if value is None:
        return "–"
    for size, letter in ((1e9, " G"), (1e6, " M")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _machine(data: dict[str, Any]) -> str:
    rows = [
        (
            f"matrix product of {data['matrix']:,}², {name}",
            f"{data[key] / 1e12:.3g} TFLOP/s",
        )
        for name, key in (("float32", "float32"), ("device's default (TF32)", "tf32"))
        if key in data
    ]
    if "bytes" in data:
        moved = f"{data['bytes'] / 1e9:,.4g} GB/s, read and written"
        rows.append((f"copy of {data['copied']:,} numbers", moved))
    return table(("what", "reached"), rows)


def _compiling(data: dict[str, Any]) -> str:
    head = (
        f"Traced one after another, compiled beside each other in "
        f"{plural(data['threads'], 'thread')}: {data['wall']:.0f} s in all. Nothing is "
        "measured until that has ended."
    )
    if data["late"]:
        head += (
            f" **Still compiling while the next parts were measured**, and left out: "
            f"{'; '.join(data['late'])}."
        )
    rows = [
        (
            row["name"],
            _number(row["trace"], ".1f"),
            _number(row["compile"], ".1f"),
            _number(row["temporary"], ".3g"),
            row["why"] or "",
        )
        for row in data["rows"]
    ]
    header = ("program", "trace s", "compile s", "temporary GiB", "")
    return head + "\n\n" + table(header, rows)


def _epochs(data: list[dict[str, Any]]) -> str:
    rows = []
    for row in data:
        head = [row["seeds"], "full" if row["full"] else "fresh"]
        if "why" in row:
            rows.append([*head, row["why"], *["–"] * 6])
            continue
        took = Quartiles(*row["seconds"])
        rows.append(
            [
                *head,
                took.text(1e3),
                took.count,
                short(row["seeds"] / took.median),
                f"{row['env_steps']:,.0f}",
                short(row["env_steps"] / took.median),
                _number(row["compile"], ".1f"),
                f"{_number(row['temporary'], '.3g')}; {_number(row['peak'], '.3g')}",
            ]
        )
    header = ["seeds", "", "ms per epoch of all seeds", "n", "epochs/s × seeds"]
    header += ["steps per epoch", "steps/s", "compile s", "GiB: temporary; peak so far"]
    return table(header, rows)


def _steps(data: list[dict[str, Any]]) -> str:
    rows = []
    for row in data:
        if "why" in row:
            rows.append([row["env"], f"{row['batch']:,}", row["why"], *["–"] * 3])
            continue
        rate = Quartiles(*row["rate"])
        cells = f"{rate.text(1e-6)} M", rate.count, f"{row['alive']:.1%}"
        compiled = _number(row["compile"], ".1f")
        rows.append([row["env"], f"{row['batch']:,}", *cells, compiled])
    head = (
        "Random actions. A call resets every lane and takes 200 steps (CartPole) or "
        "100 (lander) by `step_env`; an ended lane stays where it ended, and only "
        "living lanes' steps are counted (*alive*), though the others cost as much. "
        "CartPole's thresholds are infinite, so none ends. The batch grows until the "
        "rate grows by less than 10 %, or to the largest that was compiled."
    )
    header = ("environment", "lanes", "steps/s", "n", "alive", "compile s")
    return head + "\n\n" + table(header, rows)


def _roofline(data: list[dict[str, Any]]) -> str:
    rows = [
        (row["seeds"], row["why"], "–", "–", "–")
        if "why" in row
        else (
            row["seeds"],
            f"{row['gflop']:.3g}",
            f"{row['flops_share']:.1%}",
            _number(row["xla_bytes"] and row["xla_bytes"] / 1e9, ".3g"),
            _number(row["bytes_share"], ".1%"),
        )
        for row in data
    ]
    head = (
        "Full CartPole epochs, matrix products in full float32. GFLOP: of the matrix "
        "products, counted in the program with loops as often as they turn. GB: XLA's "
        "count of bytes, which takes a loop's body once, so that a rollout's 200 steps "
        "count as one: less than what is moved."
    )
    header = ("seeds", "GFLOP", "of the matrix product", "GB", "of the copy")
    return head + "\n\n" + table(header, rows)


def _ratios(data: list[dict[str, Any]]) -> str:
    rows = [
        (row["seeds"], row["why"], "–")
        if "why" in row
        else (row["seeds"], row["what"], Quartiles(*row["ratio"]).text() + " ×")
        for row in data
    ]
    head = "Full CartPole epochs that took turns; ratios of neighbouring times."
    return head + "\n\n" + table(("seeds", "what", "ratio"), rows)


def _precision(data: dict[str, Any]) -> str:
    rows = [
        (row["seeds"], row["why"], "–", "–")
        if "why" in row
        else (
            row["seeds"],
            Quartiles(*row["ratio"]).text() + " ×",
            Quartiles(*row["difference"]).text(),
            Quartiles(*row["noise"]).text(),
        )
        for row in data["rows"]
    ]
    head = (
        "`matmul_precision` *highest*, the project's default, against *default*, "
        "which is TF32 on such a GPU; fresh CartPole epochs that took turns. The "
        "difference of meta-gradients is over their norm, quartiles over the seeds: "
        "between the precisions with equal keys, where a rounding may change a sampled "
        "action; and for comparison between two epochs in float32 with other keys."
    )
    header = ("seeds", "time in float32 / TF32", "difference", "noise of other keys")
    text = head + "\n\n" + table(header, rows)
    if "same_data" in data:
        found = data["same_data"]["difference"]
        text += (
            f"\n\nOn the same trajectories a policy gradient differs by {found:.2g}."
        )
    return text


def _curve(data: dict[str, Any]) -> str:
    median = data["median_to_190"]
    head = (
        f"Fresh, {plural(data['seeds'], 'seed')}, {data['epochs']} epochs in "
        f"{data['wall']:.3g} s. Return after adaptation, interquartile mean over "
        f"seeds. {data['reached']} seeds reached 190 (smoothed), the median "
        + (f"after {median:g} epochs." if math.isfinite(median) else "never.")
    )
    rows = [(epoch, f"{value:.1f}") for epoch, value in data["points"]]
    return head + "\n\n" + table(("epoch", "return"), rows)


def _kernels(data: list[dict[str, Any]]) -> str:
    texts = []
    for row in data:
        if "why" in row:
            texts.append(f"{plural(row['seeds'], 'seed')}: {row['why']}")
            continue
        wall, busy = row["wall"], row["busy"]
        texts.append(
            f"{plural(row['seeds'], 'seed')}, one full epoch: {row['launches']:,} "
            f"launches, {busy * 1e3:.3g} ms in kernels of {wall * 1e3:.3g} ms "
            f"(profiled), {busy / wall:.0%}."
        )
        rows = [
            (f"`{name[:80].replace('|', '/')}`", count, f"{seconds * 1e3:.3g}")
            for name, count, seconds in row["top"]
        ]
        texts.append(table(("kernel", "launches", "ms"), rows))
    return "\n\n".join(texts)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


SECTIONS: dict[str, Callable[[Any], str]] = {
    "machine": _machine,
    "CartPole epochs": _epochs,
    "roofline": _roofline,
    "CartPole steps": _steps,
    "lander steps": _steps,
    "lander epochs": _epochs,
    "ratios": _ratios,
    "precision": _precision,
    "kernels": _kernels,
    "curve": _curve,
    "compiling CartPole": _compiling,
    "compiling the rest": _compiling,
}
