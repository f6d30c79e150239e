"""Many settings with many seeds, as lanes of few programs."""
