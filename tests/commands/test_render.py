"""Moving pictures: what is recorded, where it is drawn, what is in the files."""

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dmaml_jax import cli
from dmaml_jax.build import configuration
from dmaml_jax.build.environment import named_environment, named_tasks
from dmaml_jax.build.learner import build
from dmaml_jax.build.policy import default_policy
from dmaml_jax.commands import render as rendering
from dmaml_jax.commands.render import Render
from dmaml_jax.envs import CartPole, Gridworld, Intersection, LunarLander, Point, make
from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import engines
from dmaml_jax.envs.lunar_lander.bodies import created, shapes
from dmaml_jax.envs.lunar_lander.vectors import row
from dmaml_jax.errors import UsageError
from dmaml_jax.pictures.film import (
    HOLD,
    MOST_FRAMES,
    Film,
    Panel,
    frames,
    write_gif,
    write_mp4,
)
from dmaml_jax.pictures.scenes import lander as lander_scene
from dmaml_jax.pictures.scenes.look import AFTER, BEFORE, PANEL
from dmaml_jax.pictures.scenes.stage import stage_of
from dmaml_jax.rl.episodes import Episode, recorder
from dmaml_jax.rl.policies import mlp_categorical, mlp_normal
from dmaml_jax.rl.rollout import rollout
from dmaml_jax.runs.loading import Loaded
from dmaml_jax.tasks.of_environment import task_of


def stacked(*states: Any) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def cartpole_episode(length: int = 40, *, lean: float = 0.1) -> Episode:
    """A cart that rolls to the right while its pole leans more and more."""
    env = CartPole()
    _, start = env.reset_env(jax.random.key(0), env.default_params)
    share = np.linspace(0, 1, length + 1)
    states = [
        start.replace(x=share[t], theta=lean * share[t]) for t in range(length + 1)
    ]
    return Episode(
        states=stacked(*states),
        obs=np.zeros((length + 1, 4)),
        actions=np.ones(length, int),
        rewards=np.ones(length),
        terminated=abs(lean) > 0.21,
        task=env.default_params,
    )


def film_of(*episodes: Episode, env: Any = None) -> Film:
    stage = stage_of(env or CartPole(), episodes[0].task)
    panels = [Panel(f"panel {i}", one) for i, one in enumerate(episodes)]
    return Film("gravity = 9.8", panels, stage)


@pytest.mark.parametrize("name", ["cartpole", "point-distance"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_recorded_episode_is_the_rollout_of_its_key(name: str, seed: int) -> None:
    """Observations, actions, rewards and the end; discrete and continuous."""
    env, _ = make(name)
    with jax.numpy_dtype_promotion("standard"):
        task = jax.tree.map(jnp.asarray, env.default_params)
    if name == "cartpole":
        policy, horizon = mlp_categorical(2, (4,)), 60
    else:
        # Far from the origin, where the default goal would end it at once.
        task, horizon = task.replace(goal_x=jnp.asarray(0.3)), 20
        policy = mlp_normal(2, (4,))
    params = policy.init(
        jax.random.key(7), jnp.zeros(env.observation_space(task).shape)
    )
    key = jax.random.key(seed)
    expected = rollout(
        key, params, task, env=env, policy=policy, horizon=horizon, chunk=7
    )
    episode = recorder(env, policy, horizon)(key, params, task)
    length = int(expected.alive.sum())
    assert episode.length == length
    np.testing.assert_allclose(episode.obs, expected.obs[: length + 1], rtol=1e-9)
    np.testing.assert_allclose(episode.rewards, expected.rewards[:length], rtol=1e-9)
    taken = policy.distribution.action(expected.actions[:length])
    np.testing.assert_allclose(episode.actions, taken, rtol=1e-9)
    assert episode.terminated == bool(expected.terminated.any())
    assert int(episode.states.time[-1]) == length
    if name == "cartpole":
        assert length < horizon and episode.terminated


def test_the_pole_stands_where_the_state_says() -> None:
    episode = cartpole_episode(lean=-0.3)
    film = film_of(episode, episode)
    scene = film._parts[0][1]
    for step in (0, 17, 40):
        film.frame(step)
        x, theta = episode.states.x[step], episode.states.theta[step]
        corners = scene.pole.get_xy()[:4]
        foot, tip = corners[:2].mean(axis=0), corners[2:].mean(axis=0)
        angle = np.arctan2(*(tip - foot))
        np.testing.assert_allclose([foot[0], angle], [x, theta], atol=1e-9)
        np.testing.assert_allclose(
            np.hypot(*(tip - foot)), 1.0
        )  # twice the half length
        np.testing.assert_allclose(scene.cart.get_bbox().x0 + 0.21, x)
    assert scene.outcome == "pole fell"
    film.close()


def test_the_lander_is_drawn_around_its_bodies_and_its_flames_push() -> None:
    from matplotlib import pyplot as plt

    bodies = created(jnp.float64)
    hull = row(bodies, c.HULL)
    shape = row(shapes(jnp.float64), c.HULL)
    figure, axes = plt.subplots()
    artists = lander_scene.Lander(axes, AFTER)
    history = jax.tree.map(lambda leaf: np.asarray(leaf)[None], bodies)
    for action, moving in ((0, (0, 0)), (1, (-1, 0)), (2, (0, 1)), (3, (1, 0))):
        main, side = engines.discrete_thrust(jnp.asarray(action))
        assert lander_scene.thrust(action) == (float(main), float(side))
        after = engines.fired(
            hull, shape, main, side, jnp.zeros(2), jnp.float64(13.0), jnp.float64(0.6)
        )
        push = np.array([after.velocity.x, after.velocity.y])
        np.testing.assert_array_equal(np.sign(push.round(9)), moving)
        artists.place(history, 0, lander_scene.thrust(action))
        centre = np.array([float(hull.centre.x), float(hull.centre.y)])
        tips = [
            flame.get_xy()[2] - centre
            for flame in artists.flames
            if flame.get_visible()
        ]
        assert len(tips) == {0: 0, 1: 1, 2: 2, 3: 1}[action]
        assert all(np.dot(tip, push) < 0 for tip in tips)  # against the push
    corners = artists.hull.get_xy()[:-1]
    np.testing.assert_allclose(
        corners - np.array([c.WIDTH / 2, c.HEIGHT]), c.HULL_VERTICES, atol=1e-9
    )
    for leg, index in zip(artists.legs, (c.FIRST_LEG, c.SECOND_LEG), strict=True):
        place = row(bodies, index).centre
        middle = leg.get_xy()[:-1].mean(axis=0)
        np.testing.assert_allclose(middle, [float(place.x), float(place.y)])
    plt.close(figure)


def descent(*, terminated: bool, awake: bool, x: float, legs: tuple[int, int]) -> Any:
    """Two states of a lander, the second as it is at the end."""
    bodies = created(jnp.float64)
    moved = bodies.replace(centre=bodies.centre.replace(x=jnp.full(3, x)))
    flags = np.zeros((2, 3), int)
    flags[1, [c.FIRST_LEG, c.SECOND_LEG]] = legs
    world = SimpleNamespace(
        bodies=stacked(bodies, moved), awake=np.array([True, awake]), flags=flags
    )
    states = SimpleNamespace(world=world, terrain=np.full((2, 11), c.HEIGHT / 4))
    return Episode(
        states, np.zeros((2, 8)), np.zeros(1, int), np.zeros(1), terminated, None
    )


@pytest.mark.parametrize(
    ("outcome", "end"),
    {
        "landed": {"terminated": True, "awake": False, "x": 9.0, "legs": (1, 1)},
        "crashed": {"terminated": True, "awake": True, "x": 9.0, "legs": (1, 1)},
        "flew away": {"terminated": True, "awake": True, "x": -0.1, "legs": (0, 0)},
        "standing": {"terminated": False, "awake": True, "x": 9.0, "legs": (1, 1)},
        "still flying": {"terminated": False, "awake": True, "x": 9.0, "legs": (0, 1)},
    }.items(),
)
def test_a_descent_ends_as_its_last_state_says(
    outcome: str, end: dict[str, Any]
) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    scene = lander_scene.LanderScene(axes, descent(**end), AFTER)
    assert scene.outcome == outcome
    plt.close(figure)


def test_continuous_thrust_is_the_engines() -> None:
    for action in ([0.5, -0.7], [-0.2, 0.3], [2.0, 1.0]):
        expected = engines.continuous_thrust(jnp.asarray(action))
        found = lander_scene.thrust(np.array(action))
        np.testing.assert_allclose(found, [float(x) for x in expected])


def test_vehicles_are_where_they_were_and_a_collision_shows() -> None:
    env = Intersection()
    _, start = env.reset_env(jax.random.key(0), env.default_params)
    east, north = np.array([-9.0, -6.0, -3.0]), np.array([-12.0, -8.0, -4.0])
    states = [
        start.replace(delta_x=-east[t], delta_y=north[t], collided=np.array(t == 2))
        for t in range(3)
    ]
    episode = Episode(
        stacked(*states), np.zeros((3, 2)), np.zeros((2, 1)), np.ones(2), True,
        env.default_params,
    )  # fmt: skip
    film = film_of(episode, episode, env=env)
    scene = film._parts[1][1]
    for step in range(3):
        film.frame(step)
        first, second = (v.body.get_xy()[:-1] for v in scene.vehicles)
        middles = [
            (shape.min(axis=0) + shape.max(axis=0)) / 2 for shape in (first, second)
        ]
        np.testing.assert_allclose(
            middles, [(east[step], 0), (0, north[step])], atol=1e-9
        )
        assert scene.crash.get_visible() == (step == 2)
    assert np.ptp(first, axis=0)[0] > np.ptp(first, axis=0)[1]  # drives along its road
    assert np.ptp(second, axis=0)[0] < np.ptp(second, axis=0)[1]
    assert scene.speed.get_text() == "30.0 m/s" and scene.outcome == "collision"
    film.close()


def test_point_and_any_other_environment() -> None:
    env = Point("sparse")
    _, start = env.reset_env(jax.random.key(0), env.default_params)
    way = np.array([[0.0, 0.0], [0.1, 0.05], [0.2, 0.1]])
    states = [start.replace(position=position) for position in way]
    task = env.default_params.replace(goal_x=0.2, goal_y=0.3)
    episode = Episode(stacked(*states), way, way[1:], np.ones(2), False, task)
    film = film_of(episode, episode, env=env)
    film.frame(1)
    np.testing.assert_allclose(film._parts[0][1].path.get_xydata(), way[:2])
    assert film._parts[0][1].outcome == "0.20 away"
    film.close()
    for width in (3, 40):  # as lines, and as shades
        wide = episode._replace(obs=np.tile(way[:, :1], (1, width)))
        film = film_of(wide, wide, env=object())
        film.frame(2)
        line, _ = film._parts[0][1].lines[-1]
        np.testing.assert_array_equal(line.get_ydata(), [1.0, 1.0])
        assert len(film._parts[0][1].lines) == (4 if width == 3 else 1)
        film.close()


def test_the_grid_shows_the_way_to_the_goal() -> None:
    env = Gridworld()
    _, start = env.reset_env(jax.random.key(0), env.default_params)
    way = np.array([[0, 0], [0, 1], [0, 2], [1, 2]])
    states = [start.replace(position=position) for position in way]
    rest = (np.zeros((4, 25)), np.ones(3, int), np.ones(3), False)
    for goal, outcome in (((0, 2), "goal in step 2"), ((3, 3), "goal not found")):
        task = env.default_params.replace(goal_x=goal[0], goal_y=goal[1])
        episode = Episode(stacked(*states), *rest, task)
        film = film_of(episode, episode, env=env)
        film.frame(2)
        scene = film._parts[0][1]
        np.testing.assert_array_equal(scene.path.get_xydata(), way[:3])
        assert scene.outcome == outcome
        film.close()


def test_frames_are_as_many_as_can_be_seen() -> None:
    film = film_of(cartpole_episode(41), cartpole_episode(20))
    steps, seconds = film.steps(fps=25)
    assert steps == [*range(0, 41, 2), 41] and seconds == pytest.approx(0.04)
    assert film.steps(fps=50)[0] == list(range(42))
    first, last = film.frame(0), film.frame(41)
    assert first.shape == (film.size[1], 900, 3) and first.dtype == np.uint8
    half = first.shape[1] // 2
    assert np.any(first[:, half:] != last[:, half:])
    np.testing.assert_array_equal(first, film.frame(0))  # nothing is left behind
    # The shorter episode stays at its end.
    np.testing.assert_array_equal(film.frame(30)[72:200, half:], last[72:200, half:])
    film.close()
    long = film_of(cartpole_episode(1000), cartpole_episode(3))
    steps, seconds = long.steps(fps=25)
    assert len(steps) <= MOST_FRAMES + 1 and steps[-1] == 1000
    assert seconds == pytest.approx(0.02 * (steps[1] - steps[0]))
    long.close()


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_the_gif_reads_back(tmp_path: Path) -> None:
    film = film_of(cartpole_episode(41), cartpole_episode(41))
    pictures, seconds = frames(film, 25)
    drawn = np.stack(list(pictures))
    path = tmp_path / "episode.gif"
    assert write_gif(path, iter(drawn), seconds) == len(drawn) == 22
    film.close()
    assert [file.name for file in tmp_path.iterdir()] == ["episode.gif"]
    shown, durations = [], []
    with Image.open(path) as image:
        assert image.n_frames == 22 and image.size == film.size
        assert image.info["loop"] == 0
        for index in range(image.n_frames):
            image.seek(index)
            durations.append(image.info["duration"])
            shown.append(np.asarray(image.convert("RGB")))
    shown = np.stack(shown)
    assert durations == [40] * 21 + [40 + 1000 * HOLD]
    # Areas keep their colours to the bit: paper, panels, both carts.
    for colour in ("#ffffff", PANEL, BEFORE, AFTER):
        wanted = (drawn == rgb(colour)).all(axis=-1)
        assert (wanted.sum(axis=(1, 2)) > 200).all()
        assert (shown[wanted] == rgb(colour)).all(), colour
    # What cannot is near, and what stands still does not flicker.
    away = np.abs(shown.astype(int) - drawn).max(axis=-1)
    assert (away == 0).mean() > 0.95 and (away > 32).mean() < 1e-3
    still = (drawn[1:] == drawn[:-1]).all(axis=-1)
    assert (shown[1:][still] == shown[:-1][still]).all()


def test_a_gif_of_few_colours_keeps_them(tmp_path: Path) -> None:
    """Of two that lie in one cell of Pillow's, the more frequent one."""
    picture = np.zeros((8, 9, 3), np.uint8)
    picture[:, 3:] = (255, 128, 64)
    picture[:, 6:] = (17, 18, 19)
    picture[0, 0] = (1, 2, 3)
    write_gif(tmp_path / "a.gif", iter([picture]), 0.5)
    with Image.open(tmp_path / "a.gif") as image:
        shown = np.asarray(image.convert("RGB"))
    expected = picture.copy()
    expected[0, 0] = 0
    np.testing.assert_array_equal(shown, expected)


def test_the_mp4_gets_every_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ffmpeg keeps what it is given; there may be none, or it fails."""
    film = film_of(cartpole_episode(8), cartpole_episode(8))
    path = tmp_path / "episode.mp4"
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert not write_mp4(path, *frames(film, 25))
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    for script, works in (
        ('#!/bin/sh\nfor last; do :; done; /bin/cat > "$last"', True),
        ("#!/bin/sh\nexit 1", False),
    ):
        program.write_text(script)
        program.chmod(0o755)
        path.unlink(missing_ok=True)
        assert write_mp4(path, *frames(film, 25)) == works
        assert path.exists() == works
        if works:
            raw = np.fromfile(path, np.uint8).reshape(-1, *film.frame(0).shape)
            np.testing.assert_array_equal(raw[0], film.frame(0))
            np.testing.assert_array_equal(raw[-1], film.frame(8))
            assert len(raw) == 5 + round(HOLD / 0.04)
    assert sorted(os.listdir(tmp_path)) == ["bin"]
    film.close()


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Two untrained seeds of a small learner, in place of a run folder."""
    config = configuration(
        algo="maml", horizon=60, num_trajectories=2, hidden_sizes=(4,), inner_lr=20.0
    )
    env = named_environment("cartpole")
    tasks = named_tasks(env, config)
    policy = default_policy(env, tasks, config)
    problem, learner = build(config, env=env, tasks=tasks, policy=policy)
    states = jax.vmap(lambda seed: learner.init(jax.random.key(seed)))(jnp.arange(2))
    of = Loaded(
        tmp_path, config, env, tasks, policy, problem, learner, states, [4, 5], 300
    )
    monkeypatch.setattr(rendering, "load", lambda run, solver: of)
    monkeypatch.setattr(rendering, "compute_as", lambda *_: None)
    return of


@pytest.mark.float32
def test_render_writes_both_episodes_of_the_task(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task's gravity, equal starts, and another policy after adaptation."""
    seen = []

    def film(title: str, panels: list[Panel], stage: Any) -> Film:
        seen.append((title, panels))
        return Film(title, panels, stage)

    monkeypatch.setattr(rendering, "Film", film)
    monkeypatch.setenv("PATH", "")
    argv = [
        "render",
        "run",
        "--task",
        "gravity=12",
        "--task",
        "length=0.7",
        "--seed",
        "5",
    ]
    assert cli.main(argv) == 0
    path = loaded.folder / "episode-gravity=12-length=0.7-seed5.gif"
    assert path.name in capsys.readouterr().out
    with Image.open(path) as image:
        assert image.n_frames >= 3
    title, (before, after) = seen[0]
    assert title == (
        "gravity = 12, length = 0.7  ·  maml on cartpole, seed 5, epoch 300"
    )
    assert (before.title, after.title) == ("before adaptation", "after 1 step")
    for episode in (before.episode, after.episode):
        assert float(episode.task.gravity) == 12
        assert float(episode.task.length) == pytest.approx(0.7)
        np.testing.assert_array_equal(episode.obs[0], before.episode.obs[0])
    assert list(before.episode.actions) != list(after.episode.actions)


WRONG = {
    "--task weight=3": ["no parameter 'weight'", "gravity, masscart"],
    "--task gravity": ["NAME=VALUE", "'gravity'"],
    "--task length=-1": ["length must be above 0"],
    "--task gravity=1 gravity=2": ["--task names 'gravity' twice"],
    "--seed 9": ["--seed is 9", "seeds 4 to 5"],
    "--steps 0": ["--steps is 0", "1 or more"],
    "--episode 0": ["--episode is 0"],
    "--fps 0": ["--fps is 0", "from 1 to 50"],
    "--out FILE/below": ["--out", "cannot be written", ".gif or .mp4"],
    "--out FOLDER/x.mp4": ["x.mp4", "needs ffmpeg"],
}


@pytest.mark.float32
@pytest.mark.parametrize(("flags", "words"), WRONG.items())
def test_wrong_input_is_one_sentence(
    flags: str,
    words: list[str],
    loaded: Loaded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(
        rendering, "_film", lambda *a: film_of(cartpole_episode(2), cartpole_episode(2))
    )
    (loaded.folder / "file").write_text("")
    flags = flags.replace("FILE", str(loaded.folder / "file"))
    flags = flags.replace("FOLDER", str(loaded.folder))
    try:
        code = cli.main(["render", "run", *flags.split()])
    except SystemExit as stopped:  # what the flags' own types refuse
        code = stopped.code
    assert code == 2
    said = " ".join(capsys.readouterr().err.replace("│", "").split())
    for word in words:
        assert word in said


def test_file_names_tell_every_choice() -> None:
    plain = Render("run")
    assert rendering._name(plain, None) == "episode-medium"
    other = dataclasses.replace(
        plain, task=("u=3",), steps=2, episode=4, solver="exact"
    )
    assert rendering._name(other, 7) == "episode-u=3-seed7-steps2-number4-exact"


def test_tasks_whose_limits_cross_are_refused() -> None:
    env = Intersection()
    with pytest.raises(UsageError, match="min_start_1 must stay below max_start_1"):
        task_of(env, env.default_params, ("min_start_1=50",), "--task")


@pytest.mark.slow
@pytest.mark.float32
def test_a_lander_s_episode_is_the_rollout_and_is_drawn() -> None:
    env, _ = make("lunarlander")
    assert isinstance(env, LunarLander)
    task = jax.tree.map(jnp.asarray, env.default_params)
    policy = mlp_categorical(4, (4,))
    params = policy.init(jax.random.key(7), jnp.zeros(8))
    key = jax.random.key(1)
    expected = rollout(key, params, task, env=env, policy=policy, horizon=200, chunk=20)
    episode = recorder(env, policy, 200)(key, params, task)
    assert episode.length == int(expected.alive.sum())
    np.testing.assert_allclose(
        episode.obs[:50], np.asarray(expected.obs)[:50], atol=1e-3
    )
    film = film_of(episode, episode, env=env)
    # Its end by other means: the last reward, and where it was seen.
    over, landed = episode.rewards[-1] == -100, episode.rewards[-1] == 100
    assert episode.terminated == (over or landed)
    ends = {
        "landed": landed,
        "crashed": over and abs(episode.obs[-1, 0]) < 1,
        "flew away": over and abs(episode.obs[-1, 0]) >= 1,
        "standing": not episode.terminated and episode.obs[-1, 6:].all(),
        "still flying": not episode.terminated and not episode.obs[-1, 6:].all(),
    }
    assert [film._parts[0][1].outcome] == [
        name for name, is_so in ends.items() if is_so
    ]
    first, last = film.frame(0), film.frame(episode.length)
    assert (first != last).any()
    film.close()
