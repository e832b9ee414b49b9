"""Distributions over dynamics parameters: what each simulation is given at a reset."""
