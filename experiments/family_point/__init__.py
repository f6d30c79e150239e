"""Every learner on point navigation with its preset: `make family-point`."""
