#!/usr/bin/env bash
# For `init.personalInit` of a notebook service of SSPCloud: installs sspcloud_magics where it survives a restart,
# and loads it in each notebook. You can run it any number of times; an existing installation stays.
#
#   personal-init.sh [LANGUAGE] [WHAT-PIP-INSTALLS …]
#
# LANGUAGE is en or fr; without it, the language of JupyterLab or of the browser. By default it installs sspcloud-magics.
# To reinstall it at the next start, delete $WORK_DIR/.sspcloud-magics.
set -euo pipefail

work="${WORK_DIR:-/home/onyxia/work}"
python="${PYTHON:-$(command -v python3 || command -v python)}"
language=""
case "${1:-}" in en | fr) language="$1"; shift ;; esac
[ "$#" -gt 0 ] || set -- sspcloud-magics

# A folder for each version of Python: a newer image has another one, and compiled packages do not fit both.
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
packages="$work/.sspcloud-magics/$version"

# Whole or not at all: a start that is interrupted leaves nothing that looks complete.
if [ ! -f "$packages/.installed" ] || [ "$(cat "$packages/.installed")" != "$*" ]; then
  mkdir -p "$work/.sspcloud-magics"
  fresh=$(mktemp -d "$work/.sspcloud-magics/.new-XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  "$python" -m pip install --quiet --disable-pip-version-check --target "$fresh" "$@"
  printf %s "$*" > "$fresh/.installed"
  rm -rf "$packages"
  mv "$fresh" "$packages"
  trap - EXIT
fi

# What the image brings comes first (its pandas, its JupyterLab): a .pth file adds at the end of the path.
site=$("$python" -c 'import site, sysconfig, os; p = sysconfig.get_path("purelib"); print(p if os.access(p, os.W_OK) else site.getusersitepackages())')
mkdir -p "$site"
printf '%s\n' "$packages" > "$site/sspcloud-magics.pth"

# The side panel, where the JupyterLab of the image looks for it.
extensions="${JUPYTER_DATA_DIR:-$HOME/.local/share/jupyter}/labextensions"
if [ -d "$packages/share/jupyter/labextensions/sspcloud-magics" ]; then
  mkdir -p "$extensions"
  ln -sfn "$packages/share/jupyter/labextensions/sspcloud-magics" "$extensions/sspcloud-magics"
fi

# In each notebook, without %load_ext.
startup="${IPYTHONDIR:-$HOME/.ipython}/profile_default/startup"
mkdir -p "$startup"
{
  [ -z "$language" ] || printf 'import os\nos.environ.setdefault("SSPCLOUD_LANGUAGE", "%s")\n' "$language"
  echo '%load_ext sspcloud_magics'
} > "$startup/50-sspcloud-magics.ipy"

"$python" -c 'import sspcloud_magics as ssp; print("sspcloud_magics", ssp.__version__, "is ready")'
