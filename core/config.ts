import { z } from 'zod';

const bool = z.stringbool();
const int = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
const ms = (min = 1) => int(min, 10 * 365 * 24 * 3600 * 1000);
const bytes = int(1024, 256 * 1024 * 1024);

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
  REDIS_URL: z.url({ protocol: /^(redis|rediss|unix)$/ }).optional(),
  REDIS_HOST: z.string().min(1).default('localhost'),
  REDIS_PORT: int(1, 65535).default(6379),
  REDIS_DB: int(0, 1_000_000).default(0),
  REDIS_PASSWORD: z.string().optional(),
  /** A command without an answer for this long failed with an unknown outcome. */
  REDIS_COMMAND_TIMEOUT_MS: ms(100).default(5000),

  HUB_HOST: z.string().min(1).default('127.0.0.1'),
  HUB_PORT: int(0, 65535).default(8000),
  /** Origins of pages that may connect, beside the hub's own; `null` stands for pages opened from disk. */
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
  LOG_PRETTY: bool.optional(),

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
  /** How long a stopping hub waits for answers in flight. */
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
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(`bad setting: ${faults.join('; ')}`);
  }
  return checked(parsed.data);
}

function checked(config: Config): Config {
  if (config.HEARTBEAT_INTERVAL_MS * 2 > config.LEASE_MS) {
    throw new ConfigError(
      `bad setting: HEARTBEAT_INTERVAL_MS (${config.HEARTBEAT_INTERVAL_MS}) must be at most half of LEASE_MS (${config.LEASE_MS}), or one lost heartbeat loses the lease`,
    );
  }
  // Params travel inside a frame of their own: what is let in must be able to go out again.
  const room = config.MAX_MESSAGE_BYTES - 16 * 1024;
  if (config.MAX_PARAMS_BYTES > room && config.MAX_PARAMS_BYTES > config.MAX_MESSAGE_BYTES * 0.75) {
    throw new ConfigError(
      'bad setting: MAX_PARAMS_BYTES must leave room for its frame below MAX_MESSAGE_BYTES (at most three quarters of it)',
    );
  }
  if (config.MAX_RESULT_BYTES > room && config.MAX_RESULT_BYTES > config.MAX_MESSAGE_BYTES * 0.75) {
    throw new ConfigError(
      'bad setting: MAX_RESULT_BYTES must leave room for its frame below MAX_MESSAGE_BYTES (at most three quarters of it)',
    );
  }
  return config;
}
