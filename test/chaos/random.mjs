/** mulberry32: small, and the same everywhere for one seed. @returns numbers in [0, 1) */
export function randomFrom(start) {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** When a fault comes, and what it chooses: the same for one seed and number. */
export function momentOf(seed, index, runMs) {
  const random = randomFrom(seed * 1000 + index);
  const fraction = random();
  return { fraction, afterMs: fraction * runMs, choose: (list) => list[Math.floor(random() * list.length)] };
}
