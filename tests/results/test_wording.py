"""How numbers are worded."""

import math

from dmaml_jax.results.wording import amount, interval_of, text
from dmaml_jax.statistics import Interval


def test_an_interval_as_evaluation_json_keeps_it() -> None:
    whole = interval_of({"mean": 1.26, "low": -0.5, "high": 3.0})
    assert whole == Interval(1.26, -0.5, 3.0)
    assert text(whole) == "1.3 [-0.5, 3.0]"
    assert text(whole, "+", 2) == "+1.26 [-0.50, +3.00]"
    single = interval_of({"mean": 1.26, "low": None, "high": None})
    assert text(single) == "1.3" and math.isnan(single.low)
    assert text(interval_of({"mean": None, "low": None, "high": None})) == "-"
    assert text(None) == "-"


def test_costs() -> None:
    assert [amount(x) for x in (12.0, 12.5, 1234.4, math.inf)] == [
        "12", "12.5", "1,234", "never",
    ]  # fmt: skip
