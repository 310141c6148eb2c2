import { randomFillSync } from 'node:crypto';

/** 128 bits: nobody guesses one, and none comes twice. */
const ID_BYTES = 16;
/** Random bytes are drawn for many ids at once: one call for each cost 2.5 % of the hub's time. */
const POOL_BYTES = ID_BYTES * 512;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** 22 characters of base64url: 128 random bits. */
export function randomId(): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  used += ID_BYTES;
  return pool.toString('base64url', used - ID_BYTES, used);
}
