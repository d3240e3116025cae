/** Thrown by a command that has already printed why it failed: no further output. */
export class AlreadyReported extends Error {
  constructor(readonly exitCode: 1 | 2 = 1) {
    super();
  }
}
