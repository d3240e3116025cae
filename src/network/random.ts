/**
 * Seeded random numbers: xoshiro128** (Blackman and Vigna, 2018), state filled by splitmix32. The same seed gives the
 * same numbers on every machine.
 */
export interface Random {
  /** Uniform in [0, 1), 32 bits. */
  next(): number;
  /** Whole number in [0, below). */
  integer(below: number): number;
  /** Standard normal. */
  normal(): number;
  /** The state, to continue later. */
  state(): RandomState;
}
export type RandomState = readonly [number, number, number, number];

export function createRandom(seed: number | RandomState): Random {
  const s = Uint32Array.from(typeof seed === 'number' ? spread(seed) : seed);
  const bits = (): number => {
    const turned = Math.imul(s[1], 5);
    const result = Math.imul((turned << 7) | (turned >>> 25), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  };
  const next = () => bits() / 2 ** 32;
  return {
    next,
    integer: (below) => Math.floor(next() * below),
    // Box and Muller; 1 - u keeps the logarithm finite
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    state: () => [s[0], s[1], s[2], s[3]],
  };
}

function spread(seed: number): number[] {
  let state = seed >>> 0;
  return Array.from({ length: 4 }, () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  });
}
