/**
 * Disables onnxruntime's telemetry, so that the gateway sends data to its broker only. From 1.29 on, onnxruntime
 * records its use, stores the records with a machine identifier below the user's cache folder, and sends them to its
 * vendor, unless the environment forbids it.
 */

/**
 * The runtime looks once, when its first session is made. Of a worker thread's `process.env` native code sees nothing: the main
 * thread has to have called this before.
 */
export function refuseTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY = '1';
}
