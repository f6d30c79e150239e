"""The exact lander: Box2D's step, constraint by constraint."""
