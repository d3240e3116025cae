#!/bin/sh
# Removes what deploy/install.sh installed: sudo deploy/uninstall.sh. Config, models and history stay, unless --purge.
#
#   --purge       remove /etc/gatecast, /var/lib/gatecast and the user as well
#   --root DIR    as for install.sh
set -eu
root= purge=no
while [ $# -gt 0 ]; do
  case $1 in
  --purge) purge=yes ;;
  --root)
    root=${2:?--root needs a folder}
    shift
    ;;
  *)
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
  esac
  shift
done
if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || {
    echo "gatecast uninstall: run it as root: sudo $0" >&2
    exit 1
  }
  systemctl disable --quiet --now gatecast 2>/dev/null || true
fi
rm -rf "$root/opt/gatecast" "$root/opt/gatecast.previous" "$root/opt/gatecast.new"
rm -f "$root/etc/systemd/system/gatecast.service" "$root/usr/local/bin/gatecast"
[ -n "$root" ] || systemctl daemon-reload
if [ "$purge" = yes ]; then
  rm -rf "$root/etc/gatecast" "$root/var/lib/gatecast"
  rm -f "$root/etc/systemd/system/gatecast.service.d/mqtt-password.conf"
  rmdir "$root/etc/systemd/system/gatecast.service.d" 2>/dev/null || true
  [ -n "$root" ] || userdel gatecast 2>/dev/null || true
fi
echo 'gatecast uninstall: done'
