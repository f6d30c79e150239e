"""The estimators command from outside: what it prints and writes."""

import csv
import json
import math

import pytest
from test_cli import finish, start


@pytest.mark.slow
def test_table_picture_and_csv(tmp_path) -> None:
    small = "--num-trajectories 1 --samples 2000 --iterations 30 --seed 3 --out here"
    code, out, err = finish(start("estimators", *small.split(), cwd=tmp_path))
    assert code == 0, err
    assert "maml, loaded-dice" in out and "standard errors" in out
    folder = tmp_path / "here"
    assert (folder / "estimators.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "config.json").read_text())["values"]["seed"] == 3
    with open(folder / "estimators.csv", newline="") as file:
        rows = {row["estimator"]: row for row in csv.DictReader(file)}
    assert len(rows) == 8
    errors = {name: float(row["error"]) for name, row in rows.items()}
    exact = [name for name in errors if name.startswith("sg-mrl")]
    assert all(errors.pop(name) < 1e-12 for name in exact) and len(exact) == 2
    assert min(errors.values()) > 1e-3
    assert all(float(row["sampled_deviation"]) < 5 for row in rows.values())
    assert all(math.isfinite(float(row["sampled_error"])) for row in rows.values())

    code, _, err = finish(start("estimators", "--out", "here", cwd=tmp_path))
    assert code == 2 and "holds another run" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "--states 5 --horizon 4",
            ["at most a million", "make one of the four smaller"],
        ),
        ("--states 9999999 --horizon 9999", ["at most a million"]),
        ("--inner-lr nan", ["--inner-lr is nan", "finite"]),
        ("--num-trajectories 0", ["--num-trajectories is 0"]),
        ("--discount 1.5", ["from 0 to 1"]),
        ("--seed -1", ["--seed is -1"]),
    ],
)
def test_wrong_values_are_one_sentence(tmp_path, arguments, words) -> None:
    code, out, err = finish(start("estimators", *arguments.split(), cwd=tmp_path))
    assert code == 2 and not out and err.count("\n") == 1
    assert all(word in err for word in words), err
    assert not list(tmp_path.iterdir())
