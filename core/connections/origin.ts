import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../config.ts';

/** Names that browsers take for this machine without asking anybody, and its own addresses. */
const LOOPBACK = /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i;

/** Is this a host that only programs of this machine can reach? */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

/**
 * A page of another site must not read or drive the hub. Programs send no Origin.
 *
 * Its own is the origin that was asked for. On loopback that is not enough: whoever owns a name can point it at 127.0.0.1
 * once a page of theirs is open (DNS rebinding), and the page then asks for what looks like its own. So there the name
 * must be one of this machine.
 */
export function mayUse({ origin, host }: IncomingHttpHeaders, config: Config): boolean {
  if (origin === undefined || config.ALLOWED_ORIGINS.includes(origin)) return true;
  if (origin !== `http://${host}` && origin !== `https://${host}`) return false;
  return !isLoopback(config.HUB_HOST) || (URL.canParse(origin) && isLoopback(new URL(origin).hostname));
}
