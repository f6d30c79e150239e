"""The run folder, and the host's side of a run."""
