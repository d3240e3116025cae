#!/bin/sh
# Installs gatecast on a gateway with systemd: sudo deploy/install.sh, from a clone of the repository or an unpacked
# release. Then `sudo gatecast init` writes the config and starts the service. Again for an upgrade: the config is left alone,
# the service restarted, the version before kept as /opt/gatecast.previous.
# Needs Node 20 (from 20.19), 22 or 24; also g++, make and python3 where npm cannot download a compiled better-sqlite3.
# On Debian 12 and newer the package (`npm run package`) needs neither.
#
#   --no-start     do not restart the service after an upgrade
#   --root DIR     install below DIR and leave users and services alone (packaging, tests)
set -eu
cd "$(dirname "$0")/.."
root= start=yes
while [ $# -gt 0 ]; do
  case $1 in
  --no-start) start=no ;;
  --root)
    root=${2:?--root needs a folder} start=no
    shift
    ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
  esac
  shift
done
say() { echo "gatecast install: $*"; }
fail() {
  echo "gatecast install: $*" >&2
  exit 1
}

[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run it as root: sudo $0"
get='install Node 22 for the whole machine: https://nodejs.org/en/download (the package for this system, or unpack the archive in /usr/local)'
node=$(command -v node) || fail "Node 20 (from 20.19), 22 or 24 is not on the PATH; $get"
node=$(readlink -f "$node")
"$node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  fail "$node is $("$node" --version), too old: 20.19 or newer is needed; $get"
case $node in /home/* | /root/*)
  [ -n "$root" ] || fail "$node is in a home folder, which the service cannot see; install Node for the whole machine"
  ;;
esac

node deploy/setup.mjs

# Beside the old one first, then one rename: the service never sees half an installation.
app=$root/opt/gatecast
say "copying to $app"
rm -rf "$app.new"
mkdir -p "$app.new" "$root/etc/gatecast" "$root/etc/systemd/system" "$root/usr/local/bin"
cp -R dist models deploy docs package.json package-lock.json .npmrc README.md LICENSE CHANGELOG.md node_modules "$app.new/"
(cd "$app.new" && npm prune --omit=dev --ignore-scripts --offline >/dev/null)
# onnxruntime ships its library for five platforms; four of them are of no use here.
runtime=$app.new/node_modules/onnxruntime-node/bin/napi-v6
for platform in "$runtime"/*/*; do
  case $platform in "$runtime/linux/$(node -p process.arch)") ;; *) rm -rf "$platform" ;; esac
done
rm -rf "$app.previous"
[ ! -e "$app" ] || mv "$app" "$app.previous"
mv "$app.new" "$app"
# The same allocator settings as in the unit: less memory.
cat >"$root/usr/local/bin/gatecast" <<EOF
#!/bin/sh
export MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
exec $node /opt/gatecast/dist/gatecast.js "\$@"
EOF
chmod 755 "$root/usr/local/bin/gatecast"
sed "s#^ExecStart=/usr/bin/node #ExecStart=$node #" deploy/systemd/gatecast.service \
  >"$root/etc/systemd/system/gatecast.service"

if [ -z "$root" ] && ! id gatecast >/dev/null 2>&1; then
  say 'making the user gatecast'
  useradd --system --user-group --home-dir /var/lib/gatecast --no-create-home --shell /usr/sbin/nologin gatecast
fi
config=$root/etc/gatecast/gatecast.yaml
chmod 750 "$root/etc/gatecast"
[ ! -e "$config" ] || chmod 640 "$config"
[ -n "$root" ] || chown root:gatecast /etc/gatecast
[ -n "$root" ] || [ ! -e "$config" ] || chown root:gatecast "$config"

[ -n "$root" ] || systemctl daemon-reload
if [ ! -e "$config" ]; then
  say 'installed. This finds the broker, writes the config and starts the service:
  sudo gatecast init'
elif [ "$start" = yes ]; then
  systemctl enable --quiet gatecast
  systemctl restart gatecast
  say 'installed and restarted; see: journalctl -u gatecast -f'
else
  say 'installed'
fi
