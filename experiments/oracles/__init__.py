"""What can be earned in bandits, random MDPs and the gridworld: `make oracles`."""
