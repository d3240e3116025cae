/** Thrown by a command that has already printed why it failed: the exit code is 1 and nothing more is said. */
export class AlreadySaid extends Error {}
