/**
 * Metrics of this process and of Node.js, with the names that Prometheus' client libraries use, so that dashboards made for
 * them work. They cost nothing until the first scrape.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { type Clock, startTime } from '../system/clock.ts';
import { memoryLimit } from '../system/memory-limit.ts';
import { counter, gauge, type MetricFamily } from './metrics.ts';

/** Interval of the timer that measures the delay of the event loop, ms. */
const RESOLUTION_MS = 20;
const NS = 1e9;

export class RuntimeMetrics {
  private readonly startedMs: () => number;
  private delay: IntervalHistogram | null = null;
  private utilization = performance.eventLoopUtilization();

  /** @param root folder of `/proc` */
  constructor(
    clock: Clock,
    private readonly root = '/',
  ) {
    const beforeMs = process.uptime() * 1000;
    const since = startTime(clock);
    this.startedMs = () => since() - beforeMs;
  }

  /** Ends the measurement of the event loop. */
  stop(): void {
    this.delay?.disable();
    this.delay = null;
  }

  families(): MetricFamily[] {
    const { user, system } = process.cpuUsage();
    const { heapTotal, heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
    const [major = '', minor = '', patch = ''] = process.version.slice(1).split('.');
    return [
      counter('process_cpu_user_seconds_total', 'User processor time of the process.', user / 1e6),
      counter('process_cpu_system_seconds_total', 'System processor time of the process.', system / 1e6),
      counter(
        'process_cpu_seconds_total',
        'User and system processor time of the process.',
        (user + system) / 1e6,
      ),
      gauge('process_start_time_seconds', 'Start of the process, since 1970 UTC.', this.startedMs() / 1000),
      ...this.fromKernel(rss),
      gauge(
        'gatecast_memory_limit_bytes',
        'Memory that the process may use: the limit of its control group, or the memory of the machine.',
        memoryLimit(this.root),
      ),
      gauge('nodejs_heap_size_total_bytes', 'Size of the JavaScript heap.', heapTotal),
      gauge('nodejs_heap_size_used_bytes', 'Used part of the JavaScript heap.', heapUsed),
      gauge('nodejs_external_memory_bytes', 'Memory of objects outside of the JavaScript heap.', external),
      gauge(
        'nodejs_array_buffers_bytes',
        'Memory of array buffers, part of the external memory.',
        arrayBuffers,
      ),
      ...this.eventLoop(),
      {
        name: 'nodejs_version_info',
        help: 'Version of Node.js.',
        type: 'gauge',
        values: [{ labels: { version: process.version, major, minor, patch }, value: 1 }],
      },
    ];
  }

  /** Since the previous call; zero at the first one. */
  private eventLoop(): MetricFamily[] {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.utilization);
    this.utilization = now;
    if (this.delay === null) {
      this.delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
      this.delay.enable();
    }
    const { delay } = this;
    // The histogram holds the time between two calls of a timer: the delay and the timer's interval. It is empty at first.
    const seconds = (ns: number): number =>
      delay.count === 0 ? 0 : Math.max(0, ns / NS - RESOLUTION_MS / 1000);
    const lag = (suffix: string, what: string, ns: number): MetricFamily =>
      gauge(
        `nodejs_eventloop_lag_${suffix}`,
        `${what} delay of the event loop since the last scrape.`,
        seconds(ns),
      );
    const families = [
      gauge(
        'nodejs_eventloop_utilization_ratio',
        'Busy share of the event loop since the last scrape.',
        utilization,
      ),
      lag('seconds', 'Mean', delay.mean),
      lag('p50_seconds', 'Median', delay.percentile(50)),
      lag('p90_seconds', '90th percentile of the', delay.percentile(90)),
      lag('p99_seconds', '99th percentile of the', delay.percentile(99)),
      lag('max_seconds', 'Longest', delay.max),
    ];
    delay.reset();
    return families;
  }

  /**
   * What the kernel reports (Linux); on other systems the resident memory alone.
   *
   * @param rss resident memory according to Node.js, bytes: 0 under emulation
   */
  private fromKernel(rss: number): MetricFamily[] {
    const { root } = this;
    const resident = (bytes: number): MetricFamily =>
      gauge('process_resident_memory_bytes', 'Resident memory of the process.', bytes);
    try {
      const status = readFileSync(`${root}proc/self/status`, 'utf8');
      const kb = (name: string): number =>
        Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
      const mostFds = /^Max open files\s+(\d+)/m.exec(readFileSync(`${root}proc/self/limits`, 'utf8'))?.[1];
      const fds = readdirSync(`${root}proc/self/fd`).length;
      return [
        resident(kb('VmRSS') * 1024),
        gauge('process_virtual_memory_bytes', 'Virtual memory of the process.', kb('VmSize') * 1024),
        gauge('process_open_fds', 'Open file descriptors of the process.', fds),
        gauge('process_max_fds', 'Most open file descriptors that the process may have.', Number(mostFds)),
      ];
    } catch {
      return [resident(rss)];
    }
  }
}
