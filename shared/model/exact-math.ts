/**
 * exp and cos from + - * / and powers of two only. JavaScript leaves the last bits of Math.exp and Math.cos to the engine; the
 * tables of a run (blur windows, masks, schedules, embedding frequencies) must be the same bits everywhere.
 * Both agree with the correctly rounded result to within 2 units in the last place.
 */

const LN2_HIGH = 6.9314718036912381649e-1; // 33 significant bits, so that k * LN2_HIGH is exact for |k| < 2^20
const LN2_LOW = 1.90821492927058770002e-10;
const LN2 = 0.6931471805599453;
/** Natural logarithm of 10,000, rounded to double precision. */
export const LN_10000 = 9.210340371976184;
const HALF_PI_HIGH = 1.5707963267948966;
const HALF_PI_LOW = 6.123233995736766e-17;

/** x * 2^k, k an integer, correctly rounded unless the result is subnormal. */
function scaleByPowerOfTwo(x: number, k: number): number {
  let result = x;
  let factor = k < 0 ? 0.5 : 2;
  for (let n = Math.abs(k); n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result *= factor;
    factor *= factor;
  }
  return result;
}

/** e^x. Infinity above 709.78, 0 below -745.2. */
export function exactExp(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (x > 709.782712893384) return Infinity;
  if (x < -745.2) return 0;
  const k = Math.round(x / LN2);
  const r = x - k * LN2_HIGH - k * LN2_LOW; // |r| <= 0.35
  let sum = 1;
  for (let n = 17; n >= 1; n--) sum = 1 + (r / n) * sum;
  // Two halves: 2^1024 and 2^-1074 are out of reach of one factor.
  const half = Math.trunc(k / 2);
  return scaleByPowerOfTwo(scaleByPowerOfTwo(sum, half), k - half);
}

function taylorCos(x: number): number {
  const square = x * x;
  let sum = 1;
  for (let n = 20; n >= 2; n -= 2) sum = 1 - (square / (n * (n - 1))) * sum;
  return sum;
}

function taylorSin(x: number): number {
  const square = x * x;
  let sum = 1;
  for (let n = 21; n >= 3; n -= 2) sum = 1 - (square / (n * (n - 1))) * sum;
  return x * sum;
}

/** cos(x) for 0 <= x <= pi/2, which is all that the noise schedule asks for. */
export function exactCosFirstQuadrant(x: number): number {
  return x <= HALF_PI_HIGH / 2 ? taylorCos(x) : taylorSin(HALF_PI_HIGH - x + HALF_PI_LOW);
}
