"""Regret at the crossing before and after adaptation: `make crossing`."""
