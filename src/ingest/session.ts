/** State shared by the decoders of one router. */
import { SparkplugSession } from './sparkplug-session.ts';

export interface DecoderSession {
  readonly sparkplug: SparkplugSession;
}

export const newSession = (): DecoderSession => ({ sparkplug: new SparkplugSession() });
