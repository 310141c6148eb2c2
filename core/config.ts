import { z } from 'zod';

const int = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
const ms = (min = 1) => int(min, 10 * 365 * 24 * 3600 * 1000);
const bytes = int(256, 256 * 1024 * 1024);

/** The documents spell levels as Python does; pino's own names are taken as well. */
const LEVELS: Record<string, string> = {
  critical: 'fatal',
  warning: 'warn',
  notset: 'trace',
  none: 'silent',
};
const level = z
  .string()
  .transform(name => LEVELS[name.toLowerCase()] ?? name.toLowerCase())
  .pipe(z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']));

/** Everything the environment can set, with its default. Durations are in ms, sizes in bytes. */
const Environment = z.object({
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
  REDIS_HOST: z.string().min(1).default('localhost'),
  REDIS_PORT: int(1, 65535).default(6379),
  REDIS_DB: int(0, 1_000_000).default(0),
  REDIS_PASSWORD: z.string().optional(),
  /** A command without an answer for this long failed with an unknown outcome. */
  REDIS_COMMAND_TIMEOUT_MS: ms(100).default(5000),
  /** What an acknowledgement promises: Redis has it, its disk has it, a replica has it. */
  DURABILITY: z.enum(['memory', 'fsync', 'replica']).default('memory'),
  /** How long disk or replica may take before the peer is told that the outcome is unknown. */
  DURABILITY_TIMEOUT_MS: ms(1).default(3000),

  HUB_HOST: z.string().min(1).default('127.0.0.1'),
  HUB_PORT: int(0, 65535).default(8000),
  /**
   * Origins of pages that may connect, beside the hub's own; `null` stands for pages opened from disk. A hub on loopback
   * takes only names of this machine for its own: behind a proxy there it needs its public origin here.
   */
  ALLOWED_ORIGINS: z
    .string()
    .default('')
    .transform(list =>
      list
        .split(',')
        .map(origin => origin.trim())
        .filter(origin => origin !== ''),
    ),
  LOG_LEVEL: level.default('info'),

  LEASE_MS: ms(100).default(60_000),
  HEARTBEAT_INTERVAL_MS: ms(10).default(15_000),
  REAP_INTERVAL_MS: ms(10).default(1000),
  CANCEL_GRACE_MS: ms(0).default(10_000),
  RESEND_MS: ms(10).default(10_000),
  POISON_AFTER: int(1, 1000).default(2),
  PRIORITY_AGING_MS: ms(0).default(0),
  IDEMPOTENCY_MS: ms(0).default(600_000),
  IDEMPOTENCY_MAX: int(0, 100_000_000).default(1_000_000),
  RETENTION_MS: ms(0).default(86_400_000),
  RETENTION_COUNT: int(0, 100_000_000).default(100_000),
  OUTPUT_KEEP: int(1, 1_000_000).default(10_000),
  OUTPUT_KEEP_BYTES: bytes.default(1024 * 1024),
  MAX_SIGNATURES: int(1, 100_000).default(1000),

  MAX_MESSAGE_BYTES: bytes.default(1024 * 1024),
  MAX_PARAMS_BYTES: bytes.default(768 * 1024),
  MAX_RESULT_BYTES: bytes.default(768 * 1024),
  MAX_BAD_FRAMES: int(1, 1_000_000).default(100),
  REGISTER_TIMEOUT_MS: ms(10).default(10_000),
  PING_INTERVAL_MS: ms(10).default(15_000),
  PROGRESS_RATE: int(1, 1000).default(10),
  MONITOR_RATE: int(1, 1_000_000).default(2000),
  /** Frames waiting for one socket: above the soft bound progress is coalesced, above the hard one it is closed 4413. */
  OUTBOX_SOFT_BYTES: bytes.default(1024 * 1024),
  OUTBOX_HARD_BYTES: bytes.default(16 * 1024 * 1024),
  /** Open sockets; more are refused with 503. */
  MAX_CONNECTIONS: int(1, 1_000_000).default(50_000),
  /** New sockets a second, and as many at once; more wait, those that would wait too long are refused with 503. */
  CONNECT_RATE: int(1, 1_000_000).default(1000),
  /** A stopping hub spreads its goodbyes over this time at most, so that not all its peers reach the others at once. */
  STOP_SPREAD_MS: ms(0).default(2000),
  /** How long a stopping hub waits for answers in flight, after its goodbyes. */
  STOP_TIMEOUT_MS: ms(0).default(5000),
});

export type Config = z.infer<typeof Environment>;

/** A setting is wrong; the message is one sentence for each, naming the variable. */
export class ConfigError extends Error {}

/**
 * Reads the settings from an environment; empty values count as absent.
 *
 * @throws ConfigError naming each variable that is wrong
 */
export function readConfig(env: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = Environment.safeParse({ ...derived(given), ...given });
  if (!parsed.success) {
    const faults = parsed.error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(`bad setting: ${faults.join('; ')}`);
  }
  return checked(parsed.data);
}

/** Three quarters of a frame: the rest is room for its other fields. */
const PAYLOAD_SHARE = 0.75;

/** Defaults that follow another setting, so that shortening one does not ask for the others as well. */
function derived(given: Record<string, unknown>): Record<string, number> {
  const values: Record<string, number> = {};
  const frame = Number(given['MAX_MESSAGE_BYTES']);
  if (frame > 0) {
    values['MAX_PARAMS_BYTES'] = values['MAX_RESULT_BYTES'] = Math.floor(frame * PAYLOAD_SHARE);
  }
  const lease = Number(given['LEASE_MS']);
  if (lease > 0) values['HEARTBEAT_INTERVAL_MS'] = Math.max(10, Math.min(15_000, Math.floor(lease / 4)));
  return values;
}

function checked(config: Config): Config {
  for (const name of ['MAX_PARAMS_BYTES', 'MAX_RESULT_BYTES'] as const) {
    if (config[name] > config.MAX_MESSAGE_BYTES * PAYLOAD_SHARE) {
      throw new ConfigError(
        `bad setting: ${name} (${config[name]}) must be at most three quarters of MAX_MESSAGE_BYTES (${config.MAX_MESSAGE_BYTES}): what is let in must fit into a frame to go out again`,
      );
    }
  }
  return config;
}
