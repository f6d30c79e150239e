"""The environment's state and its parameters."""

from typing import Any

import jax
from flax import struct
from gymnax.environments import environment

from dmaml_jax.envs.lunar_lander.vectors import Scalar


@struct.dataclass
class EnvState(environment.EnvState):
    """The world of the solver, and what Gymnasium keeps beside it.

    Attributes:
        world: bodies, joints, contacts; its type is the solver's own.
        terrain: heights of the ground's vertices, m, `[11]`.
        wind_index: moments of the wind and of the turbulence, int, `[2]`.
        shaping: the potential whose differences are the reward.
        time: how many steps have been taken since the reset.
    """

    world: Any
    terrain: jax.Array
    wind_index: jax.Array
    shaping: jax.Array
    time: Any


@struct.dataclass
class EnvParams(environment.EnvParams):
    """Physical parameters; every one may vary from task to task.

    Masses, shapes, friction and the joints' angles are constants: Box2D derives much
    from them, and the conformance of the solver was only shown for Gymnasium's.

    Attributes:
        gravity: the acceleration downwards, m/s²; the paper varies it over [5, 15].
        enable_wind: whether wind and turbulence act.
        wind_power: greatest force of the wind, N; Gymnasium recommends 0 to 20.
        turbulence_power: greatest torque of the turbulence, N m; 0 to 2.
        main_engine_power: the power of the main engine, kg/s; times a lever of 0.13 m
            it is an impulse in N s.
        side_engine_power: the power of the side engines, kg/s; times a lever of 0.4 m
            it is an impulse in N s.
        leg_spring_torque: the torque of the motors that push the legs outward, N m.
        initial_random: the first step's random force is uniform in ± this, N.
        max_steps_in_episode: time limit; 1000 in LunarLander-v3.
    """

    gravity: Scalar = 10.0
    enable_wind: Any = False
    wind_power: Scalar = 15.0
    turbulence_power: Scalar = 1.5
    main_engine_power: Scalar = 13.0
    side_engine_power: Scalar = 0.6
    leg_spring_torque: Scalar = 40.0
    initial_random: Scalar = 1000.0
    max_steps_in_episode: Any = 1000
