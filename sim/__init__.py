"""Physics engines, dynamics distributions, and virtual devices that speak vendors' protocols."""
