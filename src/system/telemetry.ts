/**
 * Nothing leaves the gateway but to its broker. onnxruntime, from 1.29 on, counts what it is used for, keeps that with an
 * identifier of the machine below the user's cache folder, and sends it to its maker, unless the environment forbids it.
 */

/**
 * The runtime looks once, when its first session is made. Of a worker thread's `process.env` native code sees nothing: the main
 * thread has to have called this before.
 */
export function refuseTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY = '1';
}
