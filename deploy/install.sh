#!/bin/sh
# Installs gatecast on a gateway with systemd: sudo deploy/install.sh, from a clone of the repository or an unpacked
# release. The first time it writes /etc/gatecast/gatecast.yaml, an example to be edited, and starts nothing. Again for an
# upgrade: the config is left alone, the service restarted, the version before kept as /opt/gatecast.previous.
# Needs Node 20 (from 20.19) or 22 and, for the one native module, g++, make and python3.
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
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
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
node=$(command -v node) || fail "Node 20 or 22 is not on the PATH"
node=$(readlink -f "$node")
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
config=$root/etc/gatecast/gatecast.yaml first=no
if [ ! -e "$config" ]; then
  say "writing $config"
  cp deploy/examples/gatecast.yaml "$config"
  first=yes
fi
chmod 750 "$root/etc/gatecast"
chmod 640 "$config"
[ -n "$root" ] || chown -R root:gatecast /etc/gatecast

[ -n "$root" ] || systemctl daemon-reload
if [ "$first" = yes ]; then
  say "installed. What next:
  1. edit $config: node, broker, topics
  2. sudo gatecast check -c $config --listen 60s
  3. sudo systemctl enable --now gatecast; journalctl -u gatecast -f"
elif [ "$start" = yes ]; then
  systemctl enable --quiet gatecast
  systemctl restart gatecast
  say 'installed and restarted; see: journalctl -u gatecast -f'
else
  say 'installed'
fi
