#!/bin/sh
# environment.sh EXTRAS: make .venv hold this project with EXTRAS (comma separated), at the versions of constraints.txt.
# Does nothing when it already does; makes the environment anew when it is broken or was moved.
set -eu
cd "$(dirname "$0")/.."
extras=$1 venv=.venv

find_python() {
  for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  echo "error: Python 3.11 or newer is needed (MuJoCo 4 needs it) and none was found. Install it, for example with" >&2
  echo "  apt-get install python3 python3-venv      (Debian 12, Ubuntu 24.04 or newer)" >&2
  echo "or name it: make PYTHON=/path/to/python3.12 ..." >&2
  exit 1
}

# Healthy: it starts, it knows where it lies (console scripts hold absolute paths), and it has pip.
healthy() {
  [ -x "$venv/bin/python" ] && [ -f "$venv/.here" ] && [ "$(cat "$venv/.here")" = "$PWD" ] &&
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if ! healthy; then
  python=$(find_python)
  echo "making $venv with $("$python" -c 'import sys; print("Python", sys.version.split()[0], "at", sys.executable)')"
  rm -rf "$venv"
  if ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "error: $python cannot make a virtual environment. Install its venv module, for example with" >&2
    echo "  apt-get install python3-venv" >&2
    exit 1
  fi
  pwd >"$venv/.here"
fi

# One stamp per set of extras; it holds what the installation was made from.
# The compiler is named because the compiled kernel is built only where there is one.
wanted="$extras $(command -v cc || true) $(cat pyproject.toml constraints.txt setup.py robostack/learning/avg_kernel.c | cksum)"
stamp="$venv/.installed-$(echo "$extras" | tr ',' '-')"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
rm -f "$stamp"
log=$venv/install.log
: >"$log"
install() {
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check "$@" >>"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "error: pip install $* failed; the whole output is in $log. Check the network, then run make again." >&2
    exit 1
  fi
}

echo "installing robostack with extras $extras into $venv"
install --upgrade pip
install -c constraints.txt -e ".[$extras]"
echo "$wanted" >"$stamp"
