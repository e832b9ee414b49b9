"""The fault matrix of every robot: a module per robot with `CELLS = CellSet(...)` at its top level."""
