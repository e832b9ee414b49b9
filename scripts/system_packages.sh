#!/bin/sh
# system_packages.sh [test]: the shared libraries that the wheels expect of the system. Installs only what is missing,
# with apt, when it may; otherwise says what to run and goes on, because only rendering (videos, camera images), cameras
# on USB and, with "test", the browser tests need them.
set -u
# library the dynamic linker must find : Debian/Ubuntu package that brings it
libraries="libEGL.so.1:libegl1 libOpenGL.so.0:libopengl0 libGL.so.1:libgl1"
[ "${1:-}" != test ] || libraries="$libraries libusb-1.0.so.0:libusb-1.0-0 libatomic.so.1:libatomic1"
PATH=$PATH:/usr/sbin:/sbin
known=$(ldconfig -p 2>/dev/null || true)
missing=""
for entry in $libraries; do
  case $known in *"${entry%%:*} "*) ;; *) missing="$missing ${entry##*:}" ;; esac
done
# The software renderer that EGL falls back to; it is found by path, not by the linker.
renderer=""
for file in /usr/lib/*/dri/swrast_dri.so /usr/lib/*/dri/libdril_dri.so /usr/lib64/dri/swrast_dri.so; do
  [ -e "$file" ] && renderer=$file
done
[ -n "$renderer" ] || missing="$missing libgl1-mesa-dri"
# The browser that the tests of the web page drive. On Ubuntu the package is only a pointer to a snap.
if [ "${1:-}" = test ] && ! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then
  grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null || missing="$missing chromium"
fi
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "note: no apt-get here; install what Debian packages as:$missing" >&2
elif [ "$(id -u)" -ne 0 ]; then
  echo "note: not root, so system packages stay as they are; some features and tests need: sudo $command" >&2
else
  echo "installing system packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || echo "note: apt-get update failed; trying with the package lists at hand" >&2
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "note: could not install$missing; going on without" >&2
fi
exit 0
