"""The fast lander: joints solved in closed form, Box2D's truncation emulated."""
