#!/usr/bin/env bash
# Runs Node as on a board: deploy/arm64/node.sh pi4|pi5 ARGUMENTS... (after deploy/arm64/setup.sh).
set -eu
cache="$(cd "$(dirname "$0")/../.." && pwd)/.cache/arm64"
case ${1:-} in
pi4) cpu=cortex-a72 ;; # NEON only
pi5) cpu=cortex-a76 ;; # with the dot-product instructions
*)
  echo "usage: $0 pi4|pi5 ARGUMENTS..." >&2
  exit 2
  ;;
esac
export QEMU_LD_PREFIX="$cache/boards/$1" QEMU_CPU="$cpu"
shift
exec "$cache/root/usr/bin/qemu-aarch64-static" "$cache/node/bin/node" "$@"
