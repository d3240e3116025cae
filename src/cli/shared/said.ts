/** Thrown by a command that has already printed why it failed: exit code 1, no further output. */
export class AlreadySaid extends Error {}
