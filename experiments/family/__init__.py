"""Every learner with both methods on CartPole: `make family`."""
