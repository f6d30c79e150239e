"""A landing in one picture: `make pictures`."""
