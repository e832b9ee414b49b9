"""Imitation: policies that compute chunks of actions, learned from demonstrations on disk."""
