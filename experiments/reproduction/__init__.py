"""The verdict on the paper, docs/reproduction.md, from all studies' tables."""
