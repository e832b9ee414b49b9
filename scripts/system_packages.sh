#!/bin/sh
# system_packages.sh: the shared libraries that the wheels expect of the system. Installs only what is missing, with apt,
# when it may; otherwise says what to run and goes on, because only rendering (videos, camera images) needs them.
set -u
# library the dynamic linker must find : Debian/Ubuntu package that brings it
libraries="libEGL.so.1:libegl1 libOpenGL.so.0:libopengl0 libGL.so.1:libgl1"
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
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "note: no apt-get here; rendering needs the libraries that Debian packages as:$missing" >&2
elif [ "$(id -u)" -ne 0 ]; then
  echo "note: not root, so system packages stay as they are; videos and camera images need: sudo $command" >&2
else
  echo "installing system packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || echo "note: apt-get update failed; trying with the package lists at hand" >&2
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "note: could not install$missing; going on without video" >&2
fi
exit 0
