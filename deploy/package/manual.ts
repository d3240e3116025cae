/**
 * Writes the manual page and the completions for bash, zsh and fish from the command line's own definition.
 * Usage: tsx deploy/package/manual.ts FOLDER
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.ts';
import { VERSION } from '../../src/cli/shared/version.ts';

/** roff reads a backslash, a leading dot or quote, and a hyphen in options in its own way. */
const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1');

const nameOf = (command: Command): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;

/** Every command that does something, in the order of `--help`. */
const leaves = (command: Command): readonly Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);

export function manualPage(program: Command): string {
  const commands = leaves(program).map((command) => {
    const options = command.options.map(
      ({ flags, description }) => `.TP\n.B ${roff(flags)}\n${roff(description)}`,
    );
    return [
      `.SS ${roff(nameOf(command))} ${roff(command.usage())}`,
      roff(command.description()),
      ...options,
    ].join('\n');
  });
  return [
    `.TH GATECAST 1 "" "gatecast ${VERSION}" "User Commands"`,
    '.SH NAME',
    'gatecast \\- forecasts for the sensors on an MQTT broker',
    '.SH SYNOPSIS',
    '.B gatecast',
    '.I COMMAND',
    '[\\fIOPTIONS\\fR]',
    '.SH DESCRIPTION',
    roff(program.description()),
    '.SH GETTING STARTED',
    'As root, this finds the broker, listens to the sensors, writes the config and starts the service:',
    '.PP\n.B gatecast init',
    '.SH COMMANDS',
    ...commands,
    '.SH FILES',
    '.TP\n.I /etc/gatecast/gatecast.yaml\nThe config. The service starts only when this file exists.',
    '.TP\n.I /etc/gatecast/mqtt\\-password, /etc/gatecast/mqtt\\-password.cred\nThe password of the broker, as a file or as a credential (init \\-\\-credential).',
    '.TP\n.I /var/lib/gatecast\nThe database, the models, and backups.',
    '.SH EXIT STATUS',
    '0: done. 1: failed. 2: wrong usage, or an invalid config.',
    '',
  ].join('\n');
}

/** The commands and groups of commands, each with the words that lead to it. */
const completed = (program: Command): readonly { readonly path: string; readonly command: Command }[] =>
  [program, ...program.commands.flatMap((one) => [one, ...one.commands])].map((command) => ({
    path: nameOf(command).split(' ').slice(1).join(' '),
    command,
  }));

/** The first sentence of a description, for a line of a menu. */
const brief = (text: string): string => text.split(/[;:.]\s|\n/)[0]?.trim() ?? '';

export function bashCompletion(program: Command): string {
  const words = (command: Command): string =>
    [
      ...command.commands.map((inner) => inner.name()),
      ...command.options.flatMap(({ short, long }) => [short, long]).filter(Boolean),
      '--help',
    ].join(' ');
  const cases = completed(program).map(({ path, command }) => `    '${path}') words='${words(command)}' ;;`);
  return `# bash completion for gatecast
_gatecast() {
  local current=\${COMP_WORDS[COMP_CWORD]} path= word words=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) break ;; *) path="\${path:+$path }$word" ;; esac
  done
  case $path in
${cases.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [ \${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -F _gatecast gatecast
`;
}

/** Between single quotes of a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export function zshCompletion(program: Command): string {
  const entry = (word: string, description: string): string =>
    quoted(`${word.replaceAll(':', '\\:')}:${brief(description)}`);
  const cases = completed(program).map(({ path, command }) => {
    const entries = [
      ...command.commands.map((inner) => entry(inner.name(), inner.description())),
      ...command.options.flatMap(({ short, long, description }) =>
        [short, long].flatMap((flag) => (flag ? [entry(flag, description)] : [])),
      ),
      entry('--help', 'show the options'),
    ];
    return `    '${path}') entries=(${entries.join(' ')}) ;;`;
  });
  return `#compdef gatecast
_gatecast() {
  local route= word
  local -a entries
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case $word in -*) break ;; *) route="\${route:+$route }$word" ;; esac
  done
  case $route in
${cases.join('\n')}
  esac
  _describe command entries || _files
}
compdef _gatecast gatecast
# The first use loads this file as the function itself.
[ "\${funcstack[1]}" != _gatecast ] || _gatecast "$@"
`;
}

export function fishCompletion(program: Command): string {
  const lines = completed(program).flatMap(({ path, command }) => {
    const here = `complete -c gatecast -n ${quoted(`test "$(__gatecast_path)" = "${path}"`)}`;
    return [
      ...command.commands.map(
        (inner) => `${here} -f -a ${inner.name()} -d ${quoted(brief(inner.description()))}`,
      ),
      ...command.options.map(({ short, long, required, description }) =>
        [
          here,
          ...(required ? ['-r'] : []),
          ...(short ? [`-s ${short.replace(/^-/, '')}`] : []),
          ...(long ? [`-l ${long.replace(/^--/, '')}`] : []),
          `-d ${quoted(brief(description))}`,
        ].join(' '),
      ),
    ];
  });
  return `# fish completion for gatecast
function __gatecast_path
    set -l path
    for word in (commandline -opc)[2..]
        string match -q -- '-*' $word; and break
        set -a path $word
    end
    echo "$path"
end
${lines.join('\n')}
`;
}

const [folder] = process.argv.slice(2);
if (folder !== undefined) {
  const program = createProgram({ out: () => {}, err: () => {} });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'gatecast.1'), manualPage(program));
  writeFileSync(join(folder, 'gatecast.bash'), bashCompletion(program));
  writeFileSync(join(folder, 'gatecast.zsh'), zshCompletion(program));
  writeFileSync(join(folder, 'gatecast.fish'), fishCompletion(program));
}
