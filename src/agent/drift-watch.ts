/** Which streams have changed for good: their forecasts' errors, in half widths of the interval, through a detector each. */
import type { Forecast } from '../forecast/forecast.ts';
import { DriftDetector } from '../training/drift.ts';

export class DriftWatch {
  private readonly detectors = new Map<string, DriftDetector>();

  /** @returns streams that have just been found to have changed */
  changed(forecasts: readonly Forecast[]): string[] {
    const found: string[] = [];
    for (const { stream, input, observed, expected } of forecasts) {
      // Filled and marked buckets say nothing of the model.
      if (observed === null || expected === null || input.quality !== 'good') continue;
      const halfWidth = (expected.high - expected.low) / 2;
      // A stream that stands still has intervals without width, and no error to speak of.
      if (!(halfWidth > 0)) continue;
      const detector = this.detectors.get(stream) ?? new DriftDetector();
      this.detectors.set(stream, detector);
      if (detector.add(Math.abs(observed - expected.p50) / halfWidth)) found.push(stream);
    }
    return found;
  }

  forget(stream: string): void {
    this.detectors.delete(stream);
  }

  /** Another model forecasts: its errors are others. */
  clear(): void {
    this.detectors.clear();
  }
}
