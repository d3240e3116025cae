/** The public files that `dirty.ts` plays, how each is read, and what is wrong with it. */
import type { FileCase } from '../support/both-ways.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

export interface DirtyCase extends Omit<FileCase, 'path' | 'horizon'> {
  readonly file: string;
  /** First row of the excerpt where the file is longer than that; negative: from the end. */
  readonly from?: number;
  /** What is wrong with it. */
  readonly faults: string;
}

const LORA = { time: ['unix_time'], timeFormat: 'unix_s' };
const LORA_SPATIENT = { time: ['Msg Time (Unix)'], timeFormat: 'unix_s' };
const PROBE = { time: ['Measurement Time'], timeFormat: '%m/%d/%Y %I:%M %p', intervalMs: 5 * MINUTE };

export const CASES: readonly DirtyCase[] = [
  {
    file: 'lora_leaf_nodes/node1_freezer_gateway_5s_2020-09.csv.gz',
    ...LORA,
    intervalMs: MINUTE,
    faults: 'radio loss, a 24-minute hole, hexadecimal status',
  },
  {
    file: 'lora_leaf_nodes/node1_freezer_gateway_5s_2020-09_sf12.csv.gz',
    ...LORA,
    intervalMs: MINUTE,
    faults: 'radio loss',
  },
  {
    file: 'lora_leaf_nodes/node1_freezer_sd_5s_2020-09.csv.gz',
    ...LORA,
    intervalMs: MINUTE,
    faults: 'jitter',
  },
  {
    file: 'lora_leaf_nodes/node3_gateway_5min_2021.csv.gz',
    ...LORA_SPATIENT,
    intervalMs: 5 * MINUTE,
    faults: 'holes of hours, drifting period',
  },
  {
    file: 'lora_leaf_nodes/node3_yard_sd_5min_2021-2022.csv.gz',
    ...LORA,
    intervalMs: 5 * MINUTE,
    from: -1,
    faults: 'its last row is of 2038',
  },
  {
    file: 'lora_leaf_nodes/node5_goat_flat_hourly_2021-2022.csv.gz',
    ...LORA_SPATIENT,
    intervalMs: HOUR,
    faults: 'a period that is not quite an hour: empty and double buckets',
  },
  {
    file: 'soil_moisture_meter/EM40647_2020-11_2021-03.csv.gz',
    ...PROBE,
    faults: 'a clock in 2009, sensors that drop out',
  },
  {
    file: 'soil_moisture_meter/EM40647_2021-06_2021-07.csv.gz',
    ...PROBE,
    from: 1500,
    faults: 'resets to 2000 and back, doubled stamps, `#N/A`',
  },
  {
    file: 'metro_traffic/Metro_Interstate_Traffic_Volume.csv.gz',
    time: ['date_time'],
    intervalMs: HOUR,
    from: 14_500,
    faults: 'doubled stamps, missing hours, a hole of 308 days, 0 K for a broken thermometer',
  },
  {
    file: 'wsn_library/library1_R1.csv.gz',
    time: ['ts_ms'],
    timeFormat: 'unix_ms',
    id: 'node',
    intervalMs: MINUTE,
    faults: 'twenty motes in one file, jitter, radio loss',
  },
  ...['TravelTime_387', 'occupancy_6005', 'speed_6005'].map((name) => ({
    file: `nab/realTraffic__${name}.csv`,
    time: ['timestamp'],
    intervalMs: 5 * MINUTE,
    faults: 'half of the slots are empty, at no fixed distance',
  })),
];
