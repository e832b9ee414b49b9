"""Cameras through OpenCV: a video file, and a network camera that speaks HTTP MJPEG."""

from __future__ import annotations

import http.server
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="needs the extra 'vision'")

from hardware.camera import CAMERAS
from hardware.cameras.opencv import OpenCvCamera, OpenCvCameraConfig
from hardware.errors import ConfigError, DeviceNotConnectedError

LONG_S = 30.0
WIDTH, HEIGHT = 64, 48


def picture(grey: int) -> np.ndarray:
    """Left half red, right half of the given grey: tells RGB from BGR, and frames from each other."""
    image = np.full((HEIGHT, WIDTH, 3), grey, dtype=np.uint8)
    image[:, : WIDTH // 2] = (200, 0, 0)
    return image


@pytest.fixture
def film(tmp_path):
    """A file of five frames, brighter and brighter."""
    import cv2

    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (WIDTH, HEIGHT))
    for grey in range(0, 250, 50):
        writer.write(cv2.cvtColor(picture(grey), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def greys(camera: OpenCvCamera, count: int) -> list[int]:
    return [int(camera.read_next(LONG_S).color[24, 48, 1]) for _ in range(count)]


def test_a_file_is_played_once_in_order(film):
    camera = OpenCvCamera(OpenCvCameraConfig(source=str(film), rate_hz=20.0))
    camera.connect()
    frame = camera.read_next(LONG_S)
    assert frame.color.shape == (HEIGHT, WIDTH, 3)
    assert frame.color[24, 10, 0] > 150 > frame.color[24, 10, 2], "red is the first channel"
    assert frame.serial_number == str(film)
    assert frame.depth_m is None
    with pytest.raises(DeviceNotConnectedError, match="recording has ended"):
        while True:
            camera.read_next(LONG_S)
    camera.disconnect()


def test_a_file_can_begin_again(film):
    camera = OpenCvCamera(OpenCvCameraConfig(source=str(film), rate_hz=50.0, loop=True))
    camera.connect()
    deadline_s, seen = time.monotonic() + LONG_S, []
    while camera.frame_count < 12:
        assert time.monotonic() < deadline_s
        seen += greys(camera, 1)
    camera.disconnect()
    assert min(np.diff(seen)) < -100, "from the brightest back to the darkest"


def test_calibration_of_another_size_is_told(film, tmp_path):
    from hardware.camera import pinhole_intrinsics
    from hardware.cameras.intrinsics import save_intrinsics

    path = tmp_path / "lens.yaml"
    save_intrinsics(path, "lens", pinhole_intrinsics(640, 480))
    camera = OpenCvCamera(OpenCvCameraConfig(source=str(film), calibration=path))
    with pytest.raises(ConfigError, match="64x48"):
        camera.connect()


@pytest.mark.parametrize("source", ["/dev/no-camera", "no-film.mp4", "31"])
def test_no_camera_says_what_to_check(source):
    with pytest.raises(DeviceNotConnectedError, match="plugged in") as caught:
        OpenCvCamera(OpenCvCameraConfig(source=source)).connect()
    assert source in str(caught.value)


def test_the_size_asked_for_is_the_size_given(film):
    camera = OpenCvCamera(OpenCvCameraConfig(source=str(film), width=640, height=480))
    with pytest.raises(DeviceNotConnectedError, match="gives 64x48 and was asked for 640x480"):
        camera.connect()


@pytest.mark.parametrize("wrong", [{"source": ""}, {"width": -1}, {"timeout_s": 0.0}])
def test_wrong_configurations(wrong):
    with pytest.raises(ConfigError):
        OpenCvCameraConfig(**wrong)


class NetworkCamera(http.server.ThreadingHTTPServer):
    """Sends JPEG images as multipart/x-mixed-replace, as network cameras and telephones do."""

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Stream)
        self.running = True
        self.grey = 0
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_address[1]}/video"

    def stop(self) -> None:
        self.running = False
        self.shutdown()
        self.server_close()


class _Stream(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while self.server.running:
            self.server.grey = (self.server.grey + 5) % 250
            data = io.BytesIO()
            Image.fromarray(picture(self.server.grey)).save(data, "jpeg")
            part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {data.tell()}\r\n\r\n".encode()
            try:
                self.wfile.write(part + data.getvalue() + b"\r\n")
            except OSError:
                return
            time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.wire
def test_a_network_camera_that_goes_and_comes_back(loopback_host):
    server = NetworkCamera(loopback_host)
    camera = OpenCvCamera(OpenCvCameraConfig(source=server.url, timeout_s=1.0))
    camera.connect()
    try:
        assert len(set(greys(camera, 5))) > 1
        port = server.server_address[1]
        server.stop()
        with pytest.raises(DeviceNotConnectedError):
            while True:
                camera.read_next(LONG_S)
        http.server.ThreadingHTTPServer.allow_reuse_address = True
        again = http.server.ThreadingHTTPServer.__new__(NetworkCamera)
        http.server.ThreadingHTTPServer.__init__(again, (loopback_host, port), _Stream)
        again.running, again.grey = True, 0
        again.thread = threading.Thread(target=again.serve_forever, daemon=True)
        again.thread.start()
        deadline_s = time.monotonic() + LONG_S
        while camera.reopened == 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert greys(camera, 1)
        again.stop()
    finally:
        camera.disconnect()


def test_it_is_listed():
    assert {"opencv", "realsense"} <= set(CAMERAS.names())
