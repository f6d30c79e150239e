"""What one gradient step is worth on point navigation: `make navigation`."""
