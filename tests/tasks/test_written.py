"""How people write what varies."""

import pytest

from dmaml_jax.errors import UsageError
from dmaml_jax.tasks.written import Varied, parse_vary


def test_every_form():
    assert parse_vary(
        (
            "a=5:15",
            "b=log:0.5:2",
            "c=normal:10:2:5:15",
            "d=1,2.5,3",
            "e=5:7|13:15",
            "f=0.8*5:7|0.2*log:1:2|3",
            "x,y=circle:0.5",
            "g=-1e3:1e3",
            "h=4",
        )
    ) == {
        ("a",): Varied("uniform", (5.0, 15.0)),
        ("b",): Varied("log", (0.5, 2.0)),
        ("c",): Varied("normal", (10.0, 2.0, 5.0, 15.0)),
        ("d",): Varied("list", (1.0, 2.5, 3.0)),
        ("e",): Varied(
            "mixture",
            (1.0, 1.0),
            (Varied("uniform", (5.0, 7.0)), Varied("uniform", (13.0, 15.0))),
        ),
        ("f",): Varied(
            "mixture",
            (0.8, 0.2, 1.0),
            (
                Varied("uniform", (5.0, 7.0)),
                Varied("log", (1.0, 2.0)),
                Varied("list", (3.0,)),
            ),
        ),
        ("x", "y"): Varied("circle", (0.5,)),
        ("g",): Varied("uniform", (-1000.0, 1000.0)),
        ("h",): Varied("list", (4.0,)),
    }


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ((), "at least one NAME=LOW:HIGH"),
        (("gravity",), "cannot be read: write NAME=LOW:HIGH"),
        (("gravity=",), "cannot be read"),
        (("gravity=5:6:7",), "cannot be read"),
        (("gravity=normal:5:6",), "cannot be read"),
        (("gravity=five",), "cannot be read"),
        (("gravity=circle:1",), "cannot be read"),
        (("x,y=1:2",), "cannot be read"),
        (("x,y,z=circle:1",), "cannot be read"),
        (("x,y=circle:1|circle:2",), "cannot be read"),
        (("x,y=circle:0",), "radius must be above 0"),
        (("gravity=15:5",), "write 5:15 if the two are swapped"),
        (("gravity=log:2:1",), "write 1:2"),
        (("gravity=5:inf",), "must be finite"),
        (("gravity=nan:6",), "must be finite"),
        (("gravity=0*5:6|7:8",), "weights above 0"),
        (("gravity=5:15", "gravity=1:2"), "'gravity' twice"),
        (("x,y=circle:1", "y=1:2"), "'y' twice"),
        (("x,x=circle:1",), "'x' twice"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(items, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_vary(items)
    assert "\n" not in str(caught.value)
