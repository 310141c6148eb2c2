/** V8 looks closer at a load only after some; an engine may do as it likes with it. */
const LOADS = 200;

/**
 * Makes `String.prototype` fast again. V8 keeps a prototype as a slow dictionary while classes are made of it, until
 * properties of an object below it are loaded; and strings are no objects. So one `class … extends String` anywhere
 * (ioredis has one) makes every method of every string a look-up that the compiler cannot leave out: a tenth of the
 * hub's time. Called when all modules are loaded; costs microseconds.
 */
export function makeStringsFast(): void {
  const text = Object('text') as { charCodeAt: unknown };
  for (let i = 0; i < LOADS; i++) void text.charCodeAt;
}
