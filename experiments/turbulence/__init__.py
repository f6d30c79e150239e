"""How steady CartPole's return stays after convergence: `make turbulence`."""
