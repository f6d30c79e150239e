"""Controls: what else than the medium task could explain Directed-MAML's gain."""
