"""Meta-learners, one file each, and their registry."""
