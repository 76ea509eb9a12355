# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by ./demo, ./check, .ci/run and guests/fetch: messages, packages, build.
# The caller has set -euo pipefail and ROOT (the top of the tree).

BUILD="${VITRINE_BUILD:-$ROOT/build}"

# What the emulator itself needs, what its tests need on top, by Debian's names.
PACKAGES_BUILD=(meson ninja-build g++ ccache pkg-config libfmt-dev nlohmann-json3-dev libcli11-dev libcapstone-dev libslirp-dev libseccomp-dev
  libelf-dev libdw-dev zlib1g-dev libzstd-dev liblzma-dev libxxhash-dev nettle-dev nasm acpica-tools python3 cpio)
PACKAGES_TEST=(libgtest-dev libbenchmark-dev libunicorn-dev libzydis-dev python3-jsonschema e2fsprogs
  chromium chromium-driver fonts-dejavu-core)

say()  { printf '== %s\n' "$*" >&2; }
die()  { printf 'error: %s\n' "$1" >&2; shift; for line in "$@"; do printf '       %s\n' "$line" >&2; done; exit 1; }

# as_root COMMAND...: runs it as root, through sudo where need be.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "'$*' needs root" "Run this script as root, or install sudo and give this user the right to use it."
  fi
}

package_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# install_packages NAME...: installs only those that are missing; silent when none is.
install_packages() {
  local missing=() p
  command -v dpkg-query >/dev/null || die "this is not a Debian system (no dpkg-query)" \
    "Debian 12 is what the scripts support. Elsewhere install by hand: $*" "then run meson and ninja as README.md says."
  for p in "$@"; do package_installed "$p" || missing+=("$p"); done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing: ${missing[*]}"
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}")
  # First with the lists as they are; old lists are the usual cause of a failure, so refresh them once.
  if ! as_root "${get[@]}" >/dev/null 2>&1; then
    as_root apt-get -q update >&2 || die "apt-get update failed" "Check the network and /etc/apt/sources.list, then run this again."
    as_root "${get[@]}" >&2 || die "could not install: ${missing[*]}" \
      "See apt's message above. On Debian 12 all of them are in 'main'; check /etc/apt/sources.list."
  fi
}

# configure_build: a Meson release build in $BUILD; nothing to do when it is configured already.
configure_build() {
  if [ ! -f "$BUILD/build.ninja" ]; then
    say "configuring $BUILD"
    local cxx="${CXX:-g++}"
    case $cxx in *ccache*) ;; *) command -v ccache >/dev/null && cxx="ccache $cxx" ;; esac
    CXX="$cxx" meson setup --buildtype=release "$BUILD" "$ROOT" >"$BUILD.log" 2>&1 ||
      { tail -n 30 "$BUILD.log" >&2; die "meson could not configure the build" "The whole log: $BUILD.log"; }
    mkdir -p "$BUILD"; mv "$BUILD.log" "$BUILD/configure.log"
  fi
}

# link_vitrine: build/vitrine names the program, wherever Meson has put it.
link_vitrine() {
  if [ ! -e "$BUILD/vitrine" ] && [ -x "$BUILD/cli/vitrine" ]; then ln -sfn cli/vitrine "$BUILD/vitrine"; fi
  [ -x "$BUILD/vitrine" ] || die "no $BUILD/vitrine after the build" "Run 'ninja -C $BUILD' and look at its output."
}

# build_vitrine: the program alone, without the tests.
build_vitrine() {
  configure_build
  local log="$BUILD/build.log" target=cli/vitrine
  say "building vitrine"
  if ! ninja -C "$BUILD" "$target" >"$log" 2>&1; then
    grep -m 20 -E 'error|FAILED' "$log" >&2 || tail -n 30 "$log" >&2
    die "the build failed" "The whole log: $log"
  fi
  link_vitrine
}
