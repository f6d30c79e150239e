"""What strangers rely on: names, examples, the rooms of the house, the wheel."""

import ast
import doctest
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

import dmaml_jax
from dmaml_jax.cli import COMMANDS
from dmaml_jax.commands import train
from dmaml_jax.learners import registry

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dmaml_jax"
# A package imports itself and those of a lower number (CONTRIBUTING.md quotes this).
ROOMS = {
    "ground": 0,  # types, errors, options, statistics, files
    "tasks": 1,
    "learners": 1,
    "rl": 2,
    "config": 2,
    "training": 2,
    "exact": 3,
    "build": 3,
    "pictures": 3,
    "runs": 4,
    "results": 5,
    "sweeps": 6,
    "report": 7,
    "commands": 8,
    "cli": 9,
}
GROUND = ("types", "errors", "options", "statistics", "files")
ENTRANCES = ("cli", "__main__")
FILES = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
ENVIRONMENTS = [
    path for path in (ROOT / "envs").rglob("*.py") if path.name != "__init__.py"
]


def module_of(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "dmaml_jax" else ("dmaml_jax", *parts))


def room_of(module: str) -> str | None:
    """The package of a module of ours; None of others and of the bare package."""
    top, _, rest = module.partition(".")
    if top != "dmaml_jax" or not rest:
        return None
    first = rest.split(".")[0]
    if first in GROUND:
        return "ground"
    return "cli" if first in ENTRANCES else first


def test_every_public_name_loads_and_is_documented() -> None:
    public = [name for name in dir(dmaml_jax) if name in dmaml_jax._HOME]
    assert len(public) >= 20
    for name in public:
        assert getattr(dmaml_jax, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dmaml_jax.nonsense


def test_names_for_type_checkers_are_the_lazy_ones() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {name: f"dmaml_jax.{module}" for name, module in dmaml_jax._HOME.items()}
    assert typed == lazy


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_package_is_a_room() -> None:
    assert {room_of(module_of(path)) for path in FILES} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_package_imports_itself_and_lower_ones(path: Path) -> None:
    own = room_of(module_of(path))
    assert own is not None
    for name in imports_of(path):
        room = room_of(name)
        if room == "envs":
            assert own in ("build", "commands", "pictures", "exact"), name
        elif room is not None:
            assert room == own or ROOMS[room] < ROOMS[own], name
        if own in ("config", "build", "tasks", "learners", "rl", "exact"):
            assert name not in ("os", "pathlib", "time", "sys"), name
        if name.startswith("flax"):
            assert module_of(path) == "dmaml_jax.rl.policies"


@pytest.mark.parametrize(
    "path", [p for p in FILES if room_of(module_of(p)) == "commands"], ids=module_of
)
def test_no_command_imports_another(path: Path) -> None:
    for name in imports_of(path):
        assert name.removeprefix("dmaml_jax.commands.") not in COMMANDS, name


def test_environments_import_nothing_of_the_package() -> None:
    for path in ENVIRONMENTS:
        for name in imports_of(path):
            assert not name.startswith("dmaml_jax") or name.startswith("dmaml_jax.envs")


@pytest.mark.float32
@pytest.mark.parametrize("path", [*FILES, *ENVIRONMENTS], ids=module_of)
def test_examples_in_docstrings_run(path: Path) -> None:
    if path.name == "__main__.py":
        return
    found = doctest.testmod(importlib.import_module(module_of(path)))
    assert found.failed == 0


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if ">>> " in page.read_text()]


@pytest.mark.float32
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_in_the_pages_run(page: Path) -> None:
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted >= 3 and found.failed == 0


def test_the_readme_has_an_example_and_is_short() -> None:
    assert ROOT / "README.md" in PAGES
    pieces = (ROOT / "README.md").read_text().split()
    assert sum(any(map(str.isalnum, piece)) for piece in pieces) < 1300


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")],
    ids=lambda page: page.stem,
)
def test_links_of_the_pages_lead_somewhere(page: Path) -> None:
    """Files that are there; of their parts, headings that are there."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, part = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if part:
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", head).lower() for head in heads]
            assert part in [anchor.replace(" ", "-") for anchor in anchors], target


def code_in_contributing() -> list[str]:
    """The Python blocks of CONTRIBUTING.md, in their order."""
    blocks = (ROOT / "CONTRIBUTING.md").read_text().split("```python\n")[1:]
    return [block.split("```")[0] for block in blocks]


def test_contributing_quotes_the_rooms() -> None:
    source = Path(__file__).read_text()
    start = source.index("ROOMS = {")
    end = source.index("}\n", start)
    assert code_in_contributing()[0] == source[start:end] + "}\n"


def test_the_learner_in_contributing_is_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written there: it learns by both methods, directed too, and has its option."""
    _, file, line = code_in_contributing()
    assert file.count("\n") <= 36
    (tmp_path / "joint_learner.py").write_text(file)
    monkeypatch.syspath_prepend(tmp_path)
    line = line.replace("dmaml_jax.learners.joint:", "joint_learner:")
    ((name, entry),) = eval(f"{{{line}}}", vars(registry).copy()).items()
    monkeypatch.setitem(registry.LEARNERS, name, entry)

    flags = ["--algo=directed-joint", "--measure-adaptation=False"]
    config, _ = train.arguments(flags)
    assert type(config.learner).__module__ == "joint_learner"
    assert config.nested()["learner"]["measure_adaptation"] is False
    assert train.arguments(flags[:1])[0].flat()["measure_adaptation"] is True
    with pytest.raises(dmaml_jax.UsageError, match="belongs to --algo joint"):
        train.arguments(["--algo=maml", flags[1]])

    values = {"horizon": 40, "num_tasks": 2, "num_trajectories": 2}
    trained, infos = [], []
    for algo, own in (
        ("joint", {}),
        ("directed-joint", {"directed_lr": 0.0}),
        ("joint", {"method": "ac"}),
        ("joint", {"measure_adaptation": False}),
    ):
        init, step = dmaml_jax.make_train_step(
            "cartpole", algo, hidden_sizes=(4,), **values, **own
        )
        state = init(jax.random.key(0))
        after, info = jax.jit(step)(jax.random.key(1), state)
        assert int(after.epoch) == 1 and float(info.loss) != 0
        before, flat = (
            jax.flatten_util.ravel_pytree(each.params)[0] for each in (state, after)
        )
        # Adam's first step is β long in every direction that has a gradient.
        np.testing.assert_allclose(np.max(np.abs(flat - before)), 0.001, rtol=1e-3)
        trained.append(flat)
        infos.append(info)
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-12)
    # Without the option one collection is left: nothing is seen after adaptation.
    measured, unmeasured = infos[0], infos[3]
    assert unmeasured.return_after == unmeasured.return_before
    assert measured.return_after != measured.return_before
    assert 0 < unmeasured.num_steps < measured.num_steps


def test_version_is_the_changelog_s() -> None:
    version = importlib.metadata.version("dmaml-jax")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()


def test_the_lock_names_every_installed_package() -> None:
    locked = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
    )
    pyproject = (ROOT / "pyproject.toml").read_text()
    for requirement in importlib.metadata.requires("dmaml-jax") or []:
        name = requirement.split(";")[0].split("[")[0]
        name = name.rstrip("0123456789.,<>=! ").lower()
        assert name in locked, name
        assert name in pyproject.lower()


def test_the_wheel_holds_the_package_alone_and_imports_anywhere(tmp_path) -> None:
    """Built from a copy, so that the working tree stays clean."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("dmaml_jax", "envs", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "-w", str(tmp_path), str(copy)],
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dmaml_jax"}
    assert "dmaml_jax/envs/cartpole.py" in names
    modules = [
        name[:-3].replace("/", ".").removesuffix(".__init__")
        for name in names
        if name.endswith(".py") and "__main__" not in name
    ]
    code = (
        "import importlib\n"
        f"for name in {modules}:\n"
        "    module = importlib.import_module(name)\n"
        f"    assert {str(tmp_path)!r} in module.__file__, module.__file__\n"
        "from dmaml_jax import envs; print(envs.make('cartpole')[0].name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "cartpole", done.stderr
