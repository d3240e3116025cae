/** Arithmetic on directions in degrees: 359 and 1 are two degrees apart. */

const TURN = 360;
const RADIANS = Math.PI / 180;

/** Normalises an angle to [0, 360). */
export function normaliseAngle(degrees: number): number {
  const rest = ((degrees % TURN) + TURN) % TURN;
  return rest < TURN ? rest : 0;
}

/** Signed difference from one direction to another, in [-180, 180). */
export function angleDifference(from: number, to: number): number {
  return normaliseAngle(to - from + TURN / 2) - TURN / 2;
}

/** Direction of the sum of the unit vectors, in [0, 360); the last value if they cancel out. */
export function meanDirection(values: readonly number[]): number {
  let east = 0;
  let north = 0;
  for (const value of values) {
    east += Math.sin(RADIANS * value);
    north += Math.cos(RADIANS * value);
  }
  if (Math.hypot(east, north) < 1e-9 * values.length) return normaliseAngle(values[values.length - 1]);
  return normaliseAngle(Math.atan2(east, north) / RADIANS);
}
