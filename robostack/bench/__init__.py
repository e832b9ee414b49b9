"""Benchmarks: each measures what it compares in one run and reports flat figures with the unit in the key."""
