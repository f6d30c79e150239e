"""The page's example of a search by Optuna, run as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"


@pytest.mark.optuna
@pytest.mark.float32
def test_the_page_s_search_finds_something(capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert len(names["study"].trials) == 8
    assert all(trial.value > 10 for trial in names["study"].trials)
    assert "inner_lr" in capsys.readouterr().out
