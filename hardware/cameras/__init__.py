"""Cameras that see the world: one file per kind, and what they share."""
