"""A policy with cameras in its node: images by name, none from the future; without one the robot holds."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sensor_msgs.msg import CompressedImage

from hardware.errors import ConfigError, NonFiniteError
from robostack.nodes.messages import stamp_from_ns
from robostack.nodes.policy_images import PolicyImages, SeeingPolicy, images_for, squared

BRIDGE = SimpleNamespace(monotonic=lambda stamp: stamp.sec + 1e-9 * stamp.nanosec)


class FakeNode:
    """Keeps what was subscribed."""

    def __init__(self) -> None:
        self.takes = {}

    def create_subscription(self, kind, topic, take, profile):
        self.takes[topic] = take
        return topic

    def destroy_subscription(self, topic):
        del self.takes[topic]

    def show(self, camera: str, time_s: float, level: int, data: bytes | None = None) -> None:
        buffer = io.BytesIO()
        Image.fromarray(np.full((24, 32, 3), level, dtype=np.uint8)).save(buffer, "png")
        message = CompressedImage(format="png", data=buffer.getvalue() if data is None else data)
        message.header.stamp = stamp_from_ns(round(time_s * 1e9))
        self.takes[f"{camera}/image_raw/compressed"](message)


@pytest.fixture
def node():
    return FakeNode()


@pytest.fixture
def images(node):
    return PolicyImages(node, ("front", "wrist"), 12, BRIDGE, age_max_s=0.2)


def levels(images):
    return {name: int(image[0, 0, 0]) for name, image in images.images().items()}


def test_the_newest_image_that_is_not_newer_than_the_measurement_counts(node, images):
    for camera, time_s, level in (("front", 1.0, 10), ("front", 1.1, 20), ("wrist", 1.05, 30), ("front", 1.3, 40)):
        node.show(camera, time_s, level)
    assert images.missing(1.15) == ""
    assert levels(images) == {"front": 20, "wrist": 30}
    assert all(image.shape == (12, 12, 3) for image in images.images().values())
    assert images.missing(1.07) == ""
    assert levels(images) == {"front": 10, "wrist": 30}


def test_a_camera_that_is_missing_or_behind_is_named(node, images):
    assert "'front' (topic front/image_raw/compressed; is its camera node running?)" in images.missing(1.0)
    with pytest.raises(NonFiniteError, match="no image of the camera 'front'"):
        images.images()
    node.show("front", 1.0, 10)
    node.show("wrist", 1.2, 10)
    assert "an image of the camera 'wrist'" in images.missing(1.1), "one from the future is none"
    assert images.missing(1.2) == ""
    assert "'front' (the newest is 250 ms old, limit 200)" in images.missing(1.25)
    node.show("front", 1.24, 10)
    assert images.missing(1.25) == ""


def test_damaged_images_abort_the_episode(node, images):
    for camera in ("front", "wrist"):
        node.show(camera, 1.0, 10, data=b"\xff\xd8 nonsense")
    assert images.missing(1.0) == ""
    with pytest.raises(NonFiniteError, match="camera 'front'"):
        images.images()


def test_the_policy_gets_the_state_and_the_images(node, images):
    seen = []
    policy = SimpleNamespace(act=lambda observation: seen.append(observation) or np.zeros(1), reset=lambda: None)
    for camera in ("front", "wrist"):
        node.show(camera, 1.0, 70)
    images.missing(1.0)
    assert SeeingPolicy(policy, images).act(np.ones(3)).shape == (1,)
    assert sorted(seen[0]) == ["front", "state", "wrist"]
    assert seen[0]["state"].tolist() == [1.0, 1.0, 1.0]


def test_policies_without_images_need_no_cameras_and_others_must_name_them(node):
    assert images_for(node, SimpleNamespace(), BRIDGE, 0.2) is None
    with pytest.raises(ConfigError, match="of which cameras"):
        images_for(node, SimpleNamespace(image_size=12), BRIDGE, 0.2)


def test_the_middle_square_is_kept_and_scaled_by_area():
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, 2:4] = 100
    image[:, 4:6] = 200
    image[:, :2] = image[:, 6:] = 255  # beside the middle
    assert squared(image, 2)[..., 0].tolist() == [[100, 200], [100, 200]]
    assert squared(image, 4).shape == (4, 4, 3)
    assert squared(np.swapaxes(image, 0, 1), 2)[..., 0].tolist() == [[100, 100], [200, 200]]


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory):
    """Learned from images alone: shown anything, go on at 0.3 rad/s."""
    pytest.importorskip("torch")
    from graph_robot import FakeTask

    from robostack.contract import contract_of
    from robostack.export import export_onnx
    from robostack.learning.imitation.config import ImitationConfig
    from robostack.learning.imitation.imitator import Imitator
    from robostack.learning.imitation.windows import Demonstration
    from robostack.policies.chunked import ChunkSettings

    rng, steps = np.random.default_rng(0), 20
    shown = [
        Demonstration(
            rng.uniform(0.0, 0.2, (steps, 1)),
            0.3 + rng.uniform(-0.05, 0.05, (steps, 1)),
            images=np.repeat(rng.integers(0, 200, (steps, 1, 1, 1, 1), dtype=np.uint8), 24, axis=2)
            .repeat(24, axis=3)
            .repeat(3, axis=4),
        )
        for _ in range(4)
    ]
    settings = {"head": "bc", "steps": 20, "batch": 8, "width": 16, "blocks": 1, "warmup": 2, "average_max": 0.5}
    config = ImitationConfig(**settings, cameras=("front",), hidden=("to_go",), chunk=ChunkSettings(1, 4, 2, 0))
    imitator = Imitator(contract_of(FakeTask()), shown, config)
    for _ in range(20):
        imitator.update()
    folder = tmp_path_factory.mktemp("seeing")
    imitator.save(folder / "checkpoint")
    export_onnx(folder / "checkpoint", folder / "policy.onnx")
    return folder / "policy.onnx"


@pytest.mark.graph
def test_an_onnx_policy_with_a_camera_runs_and_holds_the_robot_while_its_camera_is_gone(
    observer, start, start_driver, policy_file, tmp_path
):
    broken = tmp_path / "broken"
    begun = lambda number: any((e["event"], e["episode"]) == ("begin", number) for e in observer.events)  # noqa: E731
    ended = lambda text: any(e["event"] == "end" and text in e["reason"] for e in observer.events)  # noqa: E731
    start_driver()
    parameters = {"task": "graph_robot:FakeTask", "policy": str(policy_file), "to_start": False, "pause_s": 0.1}
    policy = start("policy_node", episodes=1000, image_age_max_s=1.0, state_age_max_s=1.5, **parameters)
    policy.wait_for("waiting for an image of the camera 'front' (topic front/image_raw/compressed")
    assert not observer.events
    start("camera_node", kind="graph_camera:CAMERA", camera_name="front", camera__broken=str(broken))
    observer.until(lambda: ended("success"), 40.0)
    broken.touch()
    observer.until(lambda: ended("the policy waits for a fresh image of the camera 'front'"), 40.0)
    count = len(observer.states)
    observer.until(lambda: len(observer.states) > count + 10)
    held, number = observer.states[-1].position[0], observer.events[-1]["episode"]
    count = len(observer.states)
    observer.until(lambda: len(observer.states) > count + 10)
    assert observer.states[-1].position[0] == pytest.approx(held, abs=1e-3)
    assert not begun(number + 1)
    broken.unlink()
    observer.until(lambda: begun(number + 1), 40.0)
