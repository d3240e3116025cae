/** Options that say how a command reads CSV files. */
import { type Command, Option } from 'commander';
import type { TableFormat } from '../../table/table.ts';
import { columns, delimiter, instant, list } from './values.ts';

export interface TableFlags extends TableFormat {
  /** ms since 1970 */
  readonly clockStart?: number;
}

/** @param chosen description of `--columns` */
export function addTableOptions(command: Command, chosen = 'columns'): Command {
  return command
    .option(
      '--time <columns>',
      'time column; or date and time; or year, month, day, hour; default: detected by name',
      list,
    )
    .option('--time-format <format>', 'strptime-like, unix_s or unix_ms; default: detected')
    .option('--columns <names>', `${chosen}, joined by commas, or all`, columns, 'all')
    .option('--id <columns>', 'columns that identify the series of a row, in long files', list)
    .option('--missing <values>', 'cells that mean missing, joined by commas, e.g. -200', list)
    .option('--delimiter <char>', 'cell separator; default: detected', delimiter)
    .addOption(new Option('--decimal <char>', 'decimal mark').choices(['.', ',']))
    .option('--clock-start <time>', 'time of the first row, for files without a time column', instant);
}
