import data from 'virtual:protocol';
import type { ProtocolForPage } from './generate.ts';

/** The protocol as data, worked out when the page was built: zod itself stays out of the page. */
export const protocol = data as ProtocolForPage;
