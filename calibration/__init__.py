"""Calibration of cameras, hand-eye transforms and joints, and identification of dynamics."""
