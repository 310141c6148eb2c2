import { z } from 'zod';
import { Count, Json, Name, Time } from './fields.ts';
import { answer, message, request } from './message.ts';

/** What every role may send or get. */
export const ROLES = ['client', 'worker', 'monitor'] as const;
export const Role = z.enum(ROLES);
export type Role = z.infer<typeof Role>;

export const Limits = z
  .object({
    max_message_bytes: Count,
    max_params_bytes: Count,
    max_result_bytes: Count,
    max_batch: Count,
    max_watch: Count,
    idempotency_ms: Count,
  })
  .meta({ id: 'Limits' });

export const Welcome = message('welcome', 'The first frame on every connection.', {
  protocol: z.literal('gpuhub.v1'),
  hub_id: z.string(),
  connection_id: z.string(),
  role: Role,
  client_id: Name.optional(),
  server_time: Time,
  ping_interval_ms: Count,
  limits: Limits,
});

export const ErrorMessage = answer(
  'error',
  'A request was bad or could not be served; the connection stays open.',
  {
    code: z.string(),
    message: z.string(),
    details: Json.optional(),
  },
);

export const Ping = request('ping', 'Any role may ask whether the hub is there.', {});
export const Pong = answer('pong', 'The answer to ping.', { server_time: Time });
