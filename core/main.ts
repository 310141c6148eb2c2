import { ConfigError, readConfig } from './config.ts';
import { Hub } from './hub.ts';
import { makeLog } from './log.ts';
import { armKillPoint } from './store/kill_points.ts';

/** Ends the process with a sentence instead of a stack: the fault is in the settings or around us. */
function giveUp(error: Error): never {
  process.stderr.write(`gpuhub: ${error.message}\n`);
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function main(): Promise<void> {
  const config = readConfig(process.env);
  armKillPoint(process.env['GPUHUB_KILL_POINT'], () => process.kill(process.pid, 'SIGKILL'));
  const log = makeLog(config.LOG_LEVEL);
  const hub = new Hub(config, log);
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
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  // A bug in one callback must not take all peers down; it is logged with its stack.
  process.on('unhandledRejection', error => log.error({ err: error }, 'a bug'));
  process.on('uncaughtException', error => log.error({ err: error }, 'a bug'));
}

main().catch(giveUp);
