"""Scenes: episodes of each environment as moving pictures."""
