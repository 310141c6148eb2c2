import { z } from 'zod';
import { RequestId } from './fields.ts';

/** A message declaration: a zod object whose `type` is the literal tag. */
export type MessageSchema = z.ZodType<{ type: string }> & { shape?: Record<string, z.ZodType> };

/**
 * Declares a message a peer may send: its fields and the `request_id` that its answer carries back.
 * Unknown fields are ignored on the way in.
 *
 * @param tag the wire's `type`
 * @param description one sentence for the generated reference
 */
export function request<T extends string, F extends z.ZodRawShape>(tag: T, description: string, fields: F) {
  return z
    .object({ type: z.literal(tag), request_id: RequestId.optional(), ...fields })
    .meta({ title: tag, description });
}

/** Declares a message the hub sends. */
export function message<T extends string, F extends z.ZodRawShape>(tag: T, description: string, fields: F) {
  return z.object({ type: z.literal(tag), ...fields }).meta({ title: tag, description });
}

/** Declares the direct answer to a request: it carries `request_id` back. */
export const answer = request;
