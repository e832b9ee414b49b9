"""Demonstrations on disk: LeRobot datasets written one durable episode at a time, and the raw record in MCAP."""
