/** Peers of the SDK come back soon: a scenario must not wait for what spares a large fleet. */
export const BACKOFF = { base_ms: 50, cap_ms: 500 };
