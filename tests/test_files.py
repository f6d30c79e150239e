"""Files appear whole under their name, or not at all."""

import ast
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dmaml_jax import files

PACKAGE = Path(files.__file__).parent
KINDS = {
    "text": (files.write_text, "θ,1\nβ,2\n", "θ,1\nβ,2\n".encode()),
    "bytes": (files.write_bytes, b"\x00\r\n\xff", b"\x00\r\n\xff"),
    "json": (files.write_json, {"a": None}, b'{\n  "a": null\n}\n'),
    "csv": (files.write_csv, [("a", "b"), (1.5, "x,y")], b'a,b\n1.5,"x,y"\n'),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_written_to_the_byte_over_what_was_there(
    kind: str, tmp_path: Path
) -> None:
    write, value, expected = KINDS[kind]
    path = tmp_path / "file"
    path.write_bytes(b"something longer that was there before" * 9)
    write(path, value)
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["file"]


def test_arrays_read_back_under_the_name_that_was_given(tmp_path: Path) -> None:
    files.write_arrays(tmp_path / "params", {"a/b": np.arange(3), "kind": "normal"})
    assert names(tmp_path) == ["params"]
    with np.load(tmp_path / "params", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["a/b"], [0, 1, 2])
        assert str(arrays["kind"]) == "normal"
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_arrays(tmp_path / "params", {"a": np.array([object()])})
    assert names(tmp_path) == ["params"]
    with np.load(tmp_path / "params") as arrays:
        assert "kind" in arrays


def test_an_error_leaves_the_former_file_and_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    files.write_text(path, "before")

    def rows():
        yield [1, 2]
        raise KeyError("no third one")

    with pytest.raises(KeyError):
        files.write_csv(path, rows())
    with pytest.raises(TypeError):
        files.write_json(path, object())
    with pytest.raises(KeyboardInterrupt), files.writing(path) as aside:
        aside.write_text("half of")
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), files.writing(path):
        pass  # a library that wrote nothing, and did not say so
    assert path.read_text() == "before" and names(tmp_path) == ["table.csv"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "40"
    with pytest.raises(ValueError, match="half"), files.writing(path) as aside:
        aside.mkdir()
        (aside / "one").write_text("1")
        raise ValueError("half")
    assert names(tmp_path) == []
    path.mkdir()  # an empty one is no obstacle
    with files.writing(path) as aside:
        (aside / "deep").mkdir(parents=True)
        (aside / "deep" / "one").write_text("1")
        assert names(path) == [] and aside.name.startswith(".40.")
    assert names(tmp_path) == ["40"] and (path / "deep" / "one").read_text() == "1"
    with pytest.raises(OSError, match="not empty"), files.writing(path) as aside:
        aside.mkdir()
    assert names(tmp_path) == ["40"] and names(path) == ["deep"]


def test_a_killed_process_leaves_the_former_file(tmp_path: Path) -> None:
    """In the middle of writing; what it leaves aside is hidden and bears its number."""
    path = tmp_path / "config.json"
    files.write_json(path, "before")
    code = f"""
        import os, pathlib, signal
        from dmaml_jax import files
        with files.writing(pathlib.Path({str(path)!r})) as aside:
            aside.write_text("half of")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    assert child.wait(timeout=60) == -signal.SIGKILL
    assert json.loads(path.read_text()) == "before"
    assert names(tmp_path) == [f".config.json.{child.pid}", "config.json"]
    files.write_json(path, "after")
    assert json.loads(path.read_text()) == "after"


def test_of_two_processes_the_last_one_to_finish_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    with files.writing(path) as first:
        first.write_text("first")
        with monkeypatch.context() as another:
            another.setattr(os, "getpid", lambda: 7)
            with files.writing(path) as second:
                assert second != first
                second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first" and names(tmp_path) == ["report.html"]


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """With the rights that the user's mask leaves, not those of temporary files."""
    before = os.umask(0o022)
    try:
        files.write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_room_is_asked_for_before_anything_is_begun(tmp_path: Path) -> None:
    files.require_room(tmp_path, 1000)
    with pytest.raises(OSError):
        files.require_room(tmp_path, 2**60)
    assert names(tmp_path) == []


def writes(tree: ast.AST) -> list[str]:
    """The calls in a source file that write one: all but those to a path `aside`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [f"{name} {of}".strip() for call in calls for name, of in _write(call)]


def _write(call: ast.Call) -> Iterator[tuple[str, str]]:
    *of, name = ast.unparse(call.func).split(".")
    words = [ast.unparse(argument) for argument in call.args]
    named = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name == "open" and of != ["os"]:
        mode = named.get("mode", "".join(words[0 if of else 1 :][:1]))
        if mode.startswith("'") and set(mode) & set("wax+"):
            yield name, mode
    # Text and dataclasses have such a method too, of two arguments or by names.
    if name == "replace" and (of == ["os"] or (len(words) == 1 and not named)):
        yield name, ""
    if of == ["shutil"] and name in ("copy", "copyfile", "move"):
        yield name, ""
    if of and name in ("rename", "renames", "write_text", "write_bytes"):
        yield name, ""
    if name in ("savefig", "savez", "copytree") and "aside" not in words:
        yield name, ""


def test_nothing_else_writes_a_file() -> None:
    """Except rows added to metrics.csv, and the last words of a process that died."""
    found = {
        str(path.relative_to(PACKAGE)): writes(ast.parse(path.read_text()))
        for path in PACKAGE.rglob("*.py")
        if path != Path(files.__file__)
    }
    found = {name: calls for name, calls in found.items() if calls}
    assert found == {
        "runs/metrics.py": ["open 'ab'"],
        "training/last_words.py": ["open 'w'"],
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.replace(a, b)", ["replace"]),
        ("aside.replace(path)", ["replace"]),
        ("text.replace('a', 'b'); params.replace(x=1)", []),
        ("aside.rename(path)", ["rename"]),
        ("open(path, 'w', newline='')", ["open 'w'"]),
        ("open(path, mode='xb')", ["open 'xb'"]),
        ("path.open('a')", ["open 'a'"]),
        ("open(path); open(path, 'rb'); path.open(); Image.open(path)", []),
        ("path.write_text(text); write_text(path, text)", ["write_text"]),
        ("shutil.copyfile(a, b)", ["copyfile"]),
        ("figure.savefig(path); figure.savefig(aside, dpi=9)", ["savefig"]),
    ],
)
def test_that_test_sees_them(code: str, expected: list[str]) -> None:
    assert writes(ast.parse(code)) == expected
