"""Low-level tracking control, kinematics and the safety filter. No ROS, no learning framework.

`controllers.cartesian` is not imported here, because it loads a solver that most programs do not need.
"""

from __future__ import annotations

from controllers.interpolation import JerkLimitedInterpolator
from controllers.kinematics import SerialChain
from controllers.live_plant import LivePlant, LivePlantConfig
from controllers.loop import ControlLoop, LoopConfig, LoopSample, LoopStatistics
from controllers.pacing import Pacer
from controllers.plant import Plant
from controllers.realtime import RealtimeThread
from controllers.reference import JointReference, ReferenceMode, ToolReference
from controllers.safety import Filtered, SafetyAction, SafetyConfig, SafetyFilter, SafetyReason
from controllers.tracking import (
    JointPdController,
    JointTrackingController,
    ServoLinearisation,
    TrackingController,
    interpolator_of,
)

__all__ = [
    "ControlLoop",
    "Filtered",
    "JerkLimitedInterpolator",
    "JointPdController",
    "JointReference",
    "JointTrackingController",
    "LivePlant",
    "LivePlantConfig",
    "LoopConfig",
    "LoopSample",
    "LoopStatistics",
    "Pacer",
    "Plant",
    "RealtimeThread",
    "ReferenceMode",
    "SafetyAction",
    "SafetyConfig",
    "SafetyFilter",
    "SafetyReason",
    "SerialChain",
    "ServoLinearisation",
    "ToolReference",
    "TrackingController",
    "interpolator_of",
]
