"""Table II of Directed-MAML: seconds per epoch, and hours to convergence."""
