"""Figure 2 of Directed-MAML: how fast five learners learn three environments."""
