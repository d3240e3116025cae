/**
 * Loaded into the agent by `profile.ts --allocations`: samples all allocations, also of objects that are collected, and writes
 * them where the process ends. With `?promoted` only those that outlive the young generation.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';

const session = new Session();
session.connect();
session.post('HeapProfiler.startSampling', {
  samplingInterval: 16_384,
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: !import.meta.url.endsWith('?promoted'),
});
process.on('exit', () => {
  session.post('HeapProfiler.stopSampling', (error, result) => {
    if (error === null) writeFileSync(process.env.GATECAST_BENCH_ALLOCATIONS, JSON.stringify(result.profile));
  });
});
