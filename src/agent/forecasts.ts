/** Hands the forecasts of a round to the outputs, the page, and the drift detectors of fine-tuning; stores the anomalies. */
import { alarms } from '../forecast/anomalies.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Outputs } from '../outputs/outputs.ts';
import type { Context } from './part.ts';
import type { AgentRemote } from './remote.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

interface ForecastParts extends Pick<Context, 'config' | 'store'> {
  readonly outputs: Pick<Outputs, 'forecast' | 'anomaly'>;
  readonly streams: Pick<AgentStreams, 'board'>;
  readonly tuning: Pick<TuningPart, 'observe'>;
  /** Null where remote config is switched off. */
  readonly remote: Pick<AgentRemote, 'observe'> | null;
  readonly onForecast: ((forecast: Forecast) => void) | undefined;
}

export function forecastHandler({
  config,
  store,
  outputs,
  streams,
  tuning,
  remote,
  onForecast,
}: ForecastParts) {
  const { board } = streams;
  return (forecasts: readonly Forecast[], nowMs: number): void => {
    tuning.observe(forecasts);
    remote?.observe(forecasts);
    for (const forecast of forecasts) {
      // Before the forecast, because an output may include the anomaly in its message.
      const anomalies = alarms(forecast, config().publish.anomalies);
      for (const anomaly of anomalies) outputs.anomaly(forecast.stream, anomaly);
      outputs.forecast(forecast, nowMs);
      board.record(forecast, nowMs);
      for (const anomaly of anomalies) {
        board.mark(forecast.stream, anomaly);
        store.anomaly(forecast.stream, anomaly);
      }
      onForecast?.(forecast);
    }
  };
}
