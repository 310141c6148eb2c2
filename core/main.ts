import { ConfigError, readConfig } from './config.ts';
import { Hub } from './hub.ts';
import { makeLog, nextLevel } from './log.ts';
import { startTelemetry } from './telemetry.ts';
import { armKillPoint } from './store/kill_points.ts';

/** Ends the process with a sentence instead of a stack: the fault is in the settings or around us. */
function giveUp(error: Error): never {
  process.stderr.write(`gpuhub: ${error.message}\n`);
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function main(): Promise<void> {
  const config = readConfig(process.env);
  armKillPoint(process.env['GPUHUB_KILL_POINT'], () => process.kill(process.pid, 'SIGKILL'));
  const { stdout, env } = process;
  const plain = env['NO_COLOR'] || env['TERM'] === 'dumb';
  const log = makeLog(config.LOG_LEVEL, { pretty: stdout.isTTY ? (plain ? 'plain' : 'colors') : undefined });
  const telemetry = await startTelemetry(env, 'gpuhub');
  const hub = new Hub(config, log, telemetry);
  await hub.start();
  log.info(
    { hub_id: hub.hub_id, host: config.HUB_HOST, port: hub.port },
    `gpuhub listens on http://${config.HUB_HOST}:${hub.port}`,
  );

  let stopping = false;
  const stop = async (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    setTimeout(() => process.exit(1), config.STOP_SPREAD_MS + config.STOP_TIMEOUT_MS).unref();
    await hub.stop();
    await telemetry?.stop();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  // Whoever may signal the process may also read its log: no other right is needed, and no port.
  process.on('SIGUSR2', () => {
    hub.log_level = nextLevel(hub.log_level, config.LOG_LEVEL);
    log.info({ log_level: hub.log_level }, 'the log has another level now');
  });
  // A bug in one callback must not take all peers down; it is logged with its stack.
  process.on('unhandledRejection', error => log.error({ err: error }, 'a bug'));
  process.on('uncaughtException', error => log.error({ err: error }, 'a bug'));
}

main().catch(giveUp);
