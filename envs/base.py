"""What our environments share: how they are described, and how their episodes end."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from gymnax.environments import environment

from dmaml_jax.envs import registration as registration  # with gymnax, by importing it

State = TypeVar("State", bound=environment.EnvState)
Params = TypeVar("Params", bound=environment.EnvParams)


class Solver(NamedTuple):
    """One of several ways to step an environment.

    Attributes:
        name: the name under which the environment with this solver is registered.
        conformance: what the solver is true to, as a text for people.
    """

    name: str
    conformance: str


class TaskLaw(NamedTuple):
    """How an environment draws its tasks, where ranges of numbers do not say it.

    Attributes:
        draws: the parameters that differ from task to task.
        sample: `(key, common) -> task`, one task ~ ρ; `common` are parameters, of which
            a task keeps what the law does not draw.
        medium: `(common) -> task`, the medium task. What the law draws has the value of
            the default parameters in `common`.
        finite: whether there are so few tasks that training sees every one of them.
    """

    draws: tuple[str, ...]
    sample: Callable[[jax.Array, Any], Any]
    medium: Callable[[Any], Any]
    finite: bool = False


class Described(environment.Environment[State, Params], Generic[State, Params]):
    """An environment of the house, with all that the other rooms must know of it.

    A class sets those of these attributes in which it differs.

    Attributes:
        preset: values of a run by owner and name, such as `{"sampling": {"horizon":
            100}}`, in which the environment differs from the defaults.
        learner_presets: by a learner's name, what that learner needs here beyond its
            own preset, in the same form.
        positive: parameters whose values must be above 0.
        ordered: pairs of parameters of which the first must stay below the second.
        within: the least and the greatest value that a parameter may have, by its name.
        needs: the switch that a parameter needs, by the parameter's name: nothing
            depends on the parameter while the switch is off.
        greatest: the greatest size of a parameter at which the numbers stay finite, for
            an environment that takes long to compile; None lets it be tried out.
        scene: the module of `dmaml_jax.pictures.scenes` that draws it.
        solvers: what goes with each solver, by its name; empty if there is one way to
            step only.
    """

    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    learner_presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    positive: ClassVar[tuple[str, ...]] = ()
    ordered: ClassVar[tuple[tuple[str, str], ...]] = ()
    within: ClassVar[Mapping[str, tuple[float, float]]] = {}
    needs: ClassVar[Mapping[str, str]] = {}
    greatest: ClassVar[float | None] = None
    scene: ClassVar[str] = "trace"
    solvers: ClassVar[Mapping[str, Solver]] = {}

    @property
    def unfelt(self) -> Mapping[str, str]:
        """Parameters that nothing depends on here, and the `--env` where it does."""
        return {}

    @property
    def task_law(self) -> TaskLaw | None:
        """The law of the tasks; None where ranges of numbers (`--vary`) say it."""
        return None

    def absorbed(
        self, state: State, moved: State, reward: jax.Array, params: Params
    ) -> tuple[jax.Array, State, jax.Array, jax.Array, dict[Any, Any]]:
        """What `step_env` returns; an episode that is over stays as it ended.

        Args:
            state: the state before the step.
            moved: the state after the step, had the episode not been over before it.
            reward: the reward of the step, had the episode not been over before it.
            params: the parameters of the task.

        Returns:
            Observation, state, reward (0 from the end on), terminated, an empty dict.
        """
        over = self.is_terminated(state, params) | self.is_truncated(state, params)
        state = jax.tree.map(lambda old, new: jnp.where(over, old, new), state, moved)
        reward = jnp.where(over, 0, reward)
        # Nothing is differentiated through an environment.
        obs, state = jax.lax.stop_gradient((self.get_obs(state), state))
        return obs, state, reward, self.is_terminated(state, params), {}
