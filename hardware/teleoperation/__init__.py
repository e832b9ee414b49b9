"""Teleoperation devices, read through the kernel or a terminal; each is a `hardware.teleoperator.Teleoperator`."""
