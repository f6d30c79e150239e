"""Curves, films and scenes."""
