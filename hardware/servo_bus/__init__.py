"""Buses of position servos: Feetech STS and Dynamixel X on one half-duplex serial line, and arms built from them.

Robots made of such servos (hardware/so101) share this package; it registers nothing itself.
"""
