/**
 * A gateway for the commands of the documents: /etc, /opt, /root, /usr/local and /var of this machine in namespaces of mounts, network and
 * processes, so that each command runs as it is written and nothing outside changes. Mosquitto listens on its usual port, two Zigbee2MQTT
 * sensors send twice a second. Programs that need systemd, a package archive or a container engine are replaced by scripts that check
 * what the command asks for, and, for the service, do it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { waitFor } from '../support/wait.ts';

const REPOSITORY = resolve('.');
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
const needed = [
  'curl',
  'pgrep',
  'unshare',
  'nsenter',
  'mosquitto',
  'mosquitto_pub',
  'script',
  'openssl',
  'systemd-analyze',
  'python3',
];
const missing = needed.filter((name) => spawnSync('which', [name]).status !== 0);
export const hasMachine = process.getuid?.() === 0 && missing.length === 0;
if (!hasMachine)
  console.warn(`SKIPPED: the commands of the documents need root, and ${missing.join(', ') || 'all tools'}`);

/** Scripts in the place of programs. `$REPO` is the repository. */
const STAND_INS: Readonly<Record<string, string>> = {
  // Everything runs as root already. `-e` opens an editor.
  sudo: `if [ "$1" = -e ]; then test -w "$2"; exit; fi
[ "$1" != -u ] || shift 2
exec "$@"`,
  // As installed by deploy/install.sh, if it was.
  gatecast: `[ ! -x /usr/local/bin/gatecast ] || exec /usr/local/bin/gatecast "$@"
exec node $REPO/dist/gatecast.js "$@"`,
  npm: `[ "$1" != prune ] || PATH=\${PATH#*:} exec npm "$@"
case "$*" in
pack) PATH=\${PATH#*:} exec npm pack "$REPO" --dry-run --ignore-scripts ;;
"install -g --allow-scripts=better-sqlite3 ./gatecast-${version}.tgz") exit ;;
esac
[ "$1" != run ] || shift
node -e 'if (require(process.env.REPO + "/package.json").scripts[process.argv[1]] === undefined) process.exit(1)' "$1"`,
  git: `[ "$*" = "clone REPOSITORY gatecast" ] && ln -s $REPO gatecast`,
  // The unit is the one of the package, and systemd finds no fault with it.
  apt: `case "$1 $2" in
"install ./gatecast_${version}_arm64.deb" | "install ./gatecast_${version}_amd64.deb" | "install ./gatecast_NEW.deb")
  id gatecast >/dev/null 2>&1 || useradd --system --user-group --no-create-home gatecast
  mkdir -p /etc/gatecast /var/lib/gatecast /etc/systemd/system
  cp $REPO/deploy/systemd/gatecast.service /etc/systemd/system/gatecast.service ;;
"remove gatecast") rm /etc/systemd/system/gatecast.service ;;
"purge gatecast") rm -rf /etc/systemd/system/gatecast.service /etc/gatecast /var/lib/gatecast ;;
*) exit 100 ;;
esac`,
  // A service is a process in the background; its intervals are those of a test.
  systemctl: `unit=/etc/systemd/system/gatecast.service pid=$RUN/pid
verb=; for word in "$@"; do case $word in -*) ;; *) verb=$word; break ;; esac; done
for word in "$@"; do name=$word; done
[ "$verb" = daemon-reload ] && exit 0
case $name in gatecast | gatecast.service) ;; *) exit 5 ;; esac
[ -e $unit ] || exit 4
stop() { [ ! -e $pid ] || { kill "$(cat $pid)" 2>/dev/null; while kill -0 "$(cat $pid)" 2>/dev/null; do sleep 0.1; done; rm $pid; }; }
case $verb in
cat) cat $unit ;;
status) [ -e $pid ] && kill -0 "$(cat $pid)" ;;
edit | enable | disable) ;;
stop) stop ;;
start | restart)
  stop
  config=$(sed -n 's/^ConditionPathExists=//p' $unit)
  [ -e "$config" ] || exit 1
  sed -i -E 's/interval: \\S+/interval: 2s/; s/horizon: \\S+/horizon: 20s/' "$config"
  cd /var/lib/gatecast
  : >$RUN/log
  setsid gatecast run -c "$config" >>$RUN/log 2>&1 </dev/null &
  echo $! >$pid
  for try in $(seq 900); do grep -q ' subscribed ' $RUN/log && exit 0; sleep 0.1; done
  cat $RUN/log; exit 1 ;;
reload) grep -q '^ExecReload=.*kill -HUP' $unit && kill -HUP "$(cat $pid)" ;;
*) exit 1 ;;
esac`,
  journalctl: `case "$*" in *"-u gatecast"*) tail -n 50 $RUN/log ;; *) exit 1 ;; esac`,
  podman: `verb=$1; shift
case $verb in
build) while [ $# -gt 1 ]; do case $1 in -f) test -e "$2" || exit 1; shift ;; esac; shift; done; test -d "$1" ;;
run) file=$REPO/deploy/Containerfile
  for word in "$@"; do case $word in *:/*) inside=\${word#*:}; grep -qF "\${inside%:ro}" $file || exit 1 ;; esac; done ;;
*) exit 1 ;;
esac`,
  man: `[ "$1" = gatecast ] && grep -q 'man1/gatecast.1' $REPO/deploy/package/build.mjs`,
};

const SETUP = `set -e
mount -t proc proc /proc
hostname cellar
python3 - <<'PY'
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack('16sH14s', b'lo', 1 | 64, b''))
PY
layer() { mkdir -p "$WORK/$1/upper" "$WORK/$1/work"; mount -t overlay overlay -o "lowerdir=/$1,upperdir=$WORK/$1/upper,workdir=$WORK/$1/work" "/$1"; }
mount -t tmpfs tmpfs "$WORK"
for folder in etc opt root usr/local var; do layer $folder; done
rm -rf /usr/local/bin/gatecast /opt/gatecast
rm -rf /etc/gatecast /var/lib/gatecast
echo '127.0.0.1 broker.lan gateway' >>/etc/hosts
mosquitto -c "$CONF" &
until mosquitto_pub -t gateway/ready -n 2>/dev/null; do sleep 0.1; done
for room in cellar attic; do
  while sleep 0.5; do n=$((n + 1)); echo "{\\"temperature\\": $((20 + n % 7)).$((n % 10)), \\"humidity\\": $((50 + n % 9))}"; done |
    mosquitto_pub -q 1 -l -t zigbee2mqtt/$room &
done
echo ready
wait`;

export interface Machine {
  /** Runs one line of a document with bash. @param answers typed at its questions, on a terminal */
  run(line: string, options?: { readonly cwd?: string; readonly answers?: boolean }): Promise<Result>;
  /** Runs a line that does not end by itself until its output matches. @returns a function that ends it */
  watch(line: string, pattern: RegExp, cwd?: string): Promise<() => Promise<void>>;
  stop(): void;
}
export interface Result {
  readonly code: number | null;
  readonly output: string;
}

/** @param dir a folder for its files */
export async function startMachine(dir: string): Promise<Machine> {
  const file = (name: string, text: string, mode = 0o644): string => {
    writeFileSync(join(dir, name), text, { mode });
    return join(dir, name);
  };
  for (const folder of ['work', 'stand-ins', 'run']) mkdirSync(join(dir, folder));
  for (const [name, script] of Object.entries(STAND_INS)) {
    const path = file(`stand-ins/${name}`, `#!/bin/bash\n${script}\n`);
    chmodSync(path, 0o755);
  }
  const names = ['-subj', '/CN=broker.lan', '-addext', 'subjectAltName=DNS:broker.lan'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  spawnSync('openssl', [
    'req',
    '-x509',
    ...curve,
    ...names,
    '-keyout',
    join(dir, 'tls.key'),
    '-out',
    join(dir, 'ca.pem'),
  ]);
  file('passwords', '');
  spawnSync('mosquitto_passwd', ['-b', join(dir, 'passwords'), 'gatecast', 'secret']);
  const secure = `certfile ${dir}/ca.pem\nkeyfile ${dir}/tls.key\nallow_anonymous false\npassword_file ${dir}/passwords`;
  const conf = file(
    'mosquitto.conf',
    `user root\nper_listener_settings true\nlistener 1883 127.0.0.1\nallow_anonymous true\nlistener 8883 127.0.0.1\n${secure}\n`,
  );
  const env = {
    ...process.env,
    REPO: REPOSITORY,
    WORK: join(dir, 'work'),
    STAND_INS: join(dir, 'stand-ins'),
    CONF: conf,
    RUN: join(dir, 'run'),
    HOME: dir,
    PATH: `${join(dir, 'stand-ins')}:${process.env.PATH}`,
  };
  const flags = ['--mount', '--net', '--uts', '--pid', '--fork', '--kill-child'];
  const holder = spawn('unshare', [...flags, 'bash', '-c', SETUP], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [holder.stdout, holder.stderr])
    stream.on('data', (data) => {
      said += data;
    });
  await waitFor('the machine', () => {
    if (holder.exitCode !== null) throw new Error(said);
    return said.includes('ready');
  });
  // The child of unshare is the first process of the namespaces.
  const pid = spawnSync('pgrep', ['-P', String(holder.pid)], { encoding: 'utf8' }).stdout.trim();
  const begin = (line: string, cwd: string): ChildProcess & { text(): string; isClosed(): boolean } => {
    const child = spawn(
      'nsenter',
      [
        '--target',
        pid,
        '--mount',
        '--net',
        '--uts',
        '--pid',
        'bash',
        '-o',
        'pipefail',
        '-c',
        `cd '${cwd}' && { ${line}\n}`,
      ],
      { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => {
        output += data;
      });
    let closed = false;
    child.on('close', () => {
      closed = true;
    });
    return Object.assign(child, { text: () => output, isClosed: () => closed });
  };
  const end = (child: ChildProcess): void => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  return {
    async run(line, { cwd = dir, answers = false } = {}) {
      const quoted = line.replaceAll("'", `'\\''`);
      const child = begin(
        answers
          ? `{ trap '' PIPE; while sleep 0.5 && echo 2>/dev/null; do :; done; true; } | script -qefc '${quoted}' /dev/null`
          : line,
        cwd,
      );
      await new Promise((done) => child.once('exit', done));
      // A service that the line has started may hold the pipes for longer.
      await waitFor('the rest of its output', () => child.isClosed(), 2000).catch(() => {});
      return { code: child.exitCode, output: child.text() };
    },
    async watch(line, pattern, cwd = dir) {
      const child = begin(line, cwd);
      await waitFor(line, () => {
        if (child.exitCode !== null)
          throw new Error(`${line} ended with ${child.exitCode}:\n${child.text()}`);
        return pattern.test(child.text());
      }).catch((cause) => {
        end(child);
        throw new Error(`${line}: no ${pattern} in\n${child.text().slice(-2000)}`, { cause });
      });
      return async () => {
        const group = -(child.pid ?? 0);
        process.kill(group, 'SIGTERM');
        const isGone = (): boolean => {
          try {
            return !process.kill(group, 0);
          } catch {
            return true;
          }
        };
        await waitFor(`the end of ${line}`, isGone);
      };
    },
    stop: () => void holder.kill('SIGKILL'),
  };
}
