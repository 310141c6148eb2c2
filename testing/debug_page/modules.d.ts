// What the build gives the page beside its own source.

declare module '*.css';

/** Made by `protocol/generate.ts` from the zod declarations; typed in `protocol/protocol.ts`. */
declare module 'virtual:protocol' {
  const data: unknown;
  export default data;
}

/** A script built on its own and carried in the page, to be run in a thread. */
declare module '*?worker&inline' {
  const MockThread: new () => Worker;
  export default MockThread;
}
