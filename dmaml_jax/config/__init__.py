"""The values of a run: what there is, what is allowed, presets. Imports no JAX."""
