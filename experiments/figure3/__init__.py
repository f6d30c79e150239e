"""Figure 3 of Directed-MAML: convergence at a large outer step, and turbulence."""
