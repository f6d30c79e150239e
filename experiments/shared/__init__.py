"""What the studies that keep everything in memory share."""
