import { RedisClock } from './clock.ts';
import type { Config } from './config.ts';
import type { Connection } from './connections/connection.ts';
import { isLoopback } from './connections/origin.ts';
import { GateServer } from './connections/server.ts';
import { CLOSE, HubError } from './errors.ts';
import { makeStringsFast } from './fast_strings.ts';
import type { Log } from './log.ts';
import { BATCH_MAX, WATCH_MAX } from './messages/client.ts';
import { SUBPROTOCOL } from './messages/protocol.ts';
import { clientRoutes } from './routes/client.ts';
import { hubRoutes } from './routes/http/hub.ts';
import { jobRoutes } from './routes/http/jobs.ts';
import { HttpRouter } from './routes/http/server.ts';
import { monitorRoutes } from './routes/monitor.ts';
import { Router } from './routes/router.ts';
import { workerRoutes } from './routes/worker.ts';
import { Broadcaster } from './services/broadcaster.ts';
import { Explain } from './services/explain.ts';
import { Fleet } from './services/fleet.ts';
import { JobTraces } from './services/job_traces.ts';
import { Jobs } from './services/jobs.ts';
import { Measures } from './services/measures.ts';
import { Metrics } from './services/metrics.ts';
import { Monitors } from './services/monitors.ts';
import { Operations } from './services/operations.ts';
import { Reaper } from './services/reaper.ts';
import { Statistics } from './services/statistics.ts';
import { makeHubId, RedisStore } from './store/redis_store.ts';
import type { Telemetry } from './telemetry.ts';

/** A hub: everything built and wired. Tests use it in their own process; main.ts runs it. */
export class Hub {
  readonly hub_id: string;
  readonly #config: Config;
  readonly #log: Log;
  readonly #clock = new RedisClock();
  readonly #store: RedisStore;
  readonly #server: GateServer;
  readonly #fleet: Fleet;
  readonly #statistics: Statistics;
  readonly #monitors: Monitors;
  readonly #operations: Operations;
  readonly #reaper: Reaper;
  readonly #metrics: Metrics;
  readonly #router: Router;
  readonly #http: HttpRouter;
  #stopping = false;

  /** @param telemetry null for none */
  constructor(config: Config, log: Log, telemetry: Telemetry | null = null) {
    makeStringsFast();
    this.hub_id = makeHubId();
    this.#config = config;
    this.#log = log.child({ hub_id: this.hub_id });
    const store = new RedisStore(config, { hub_id: this.hub_id });
    this.#store = store;
    this.#server = new GateServer(config, this.#log, {
      connected: connection => this.#connected(connection),
      frame: (connection, text) => this.#router.frame(connection, text),
      request: (request, response) => this.#http.handle(request, response),
    });
    const clock = this.#clock;
    const measures = new Measures();
    const traces = new JobTraces(store, telemetry, this.#log);
    const fleet = new Fleet(store, config, clock, this.#log, measures, traces);
    const broadcaster = new Broadcaster(store);
    const statistics = new Statistics(store, fleet, this.#server.connections, clock, this.#log, measures);
    const jobs = new Jobs(store, config, fleet.dispatcher, broadcaster, measures, traces, this.#log);
    const operations = new Operations(store, fleet, statistics, this.#log);
    this.#fleet = fleet;
    this.#statistics = statistics;
    this.#operations = operations;
    this.#monitors = new Monitors(store, fleet, statistics, config.MONITOR_RATE, config.OUTBOX_HARD_BYTES);
    this.#reaper = new Reaper(store, config, this.#log, measures.tallies, traces, () => clock.now());
    telemetry?.measure(() => measures.tallies.totals);
    this.#metrics = new Metrics(store, fleet, statistics, this.#server);

    const services = {
      config,
      log: this.#log,
      clock,
      store,
      jobs,
      broadcaster,
      fleet,
      statistics,
      operations,
      traces,
      explain: new Explain(store, jobs, operations, statistics, clock),
      router: () => this.#router,
    };
    const routes = {
      client: clientRoutes(services),
      worker: workerRoutes(services),
      monitor: monitorRoutes(services),
    };
    this.#router = new Router(routes, config, this.#log, (connection, type) =>
      this.#mustBeRegistered(connection, type),
    );
    const stopping = () => this.#stopping;
    this.#http = new HttpRouter(
      [...jobRoutes(services), ...hubRoutes({ ...services, metrics: this.#metrics, stopping })],
      config,
      this.#log,
      stopping,
    );

    store.onDown(why => this.#log.warn({ why }, 'Redis is away: running jobs go on, nothing new is taken'));
    store.onUp(() => this.#log.info('Redis serves'));
  }

  /** How much is logged; may be changed while it runs. */
  get log_level(): string {
    return this.#log.level;
  }

  set log_level(level: string) {
    this.#log.level = level;
  }

  get port(): number {
    return this.#server.port;
  }

  /** @throws Error with a sentence when Redis or the port cannot be had */
  async start(): Promise<void> {
    this.#warnOfStrangers();
    await this.#store.open();
    for (const { text, quiet } of await this.#store.advice()) this.#log[quiet ? 'info' : 'warn'](text);
    await this.#statistics.start();
    await this.#fleet.dispatcher.start();
    this.#reaper.start();
    this.#monitors.start();
    this.#metrics.start();
    await this.#server.start();
  }

  /** Takes no more peers, answers what is in flight, tells peers to come back elsewhere, leaves nothing in Redis. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#server.closeGate();
    this.#http.stop();
    await this.#reaper.stop();
    this.#fleet.dispatcher.stop();
    await this.#server.stop(() => this.#store.settled());
    // The machines of this hub are offline now; their leases run on.
    await this.#fleet.settled();
    await this.#monitors.stop();
    this.#metrics.stop();
    await this.#statistics.stop();
    this.#store.close();
  }

  /** A container's own address is beyond loopback too: only its operator knows how far that reaches. */
  #warnOfStrangers(): void {
    const { HUB_HOST: host } = this.#config;
    if (isLoopback(host)) return;
    this.#log.warn(
      { host },
      'the hub listens beyond this machine, and this version has no credentials: whoever reaches its port is an admin',
    );
  }

  #connected(connection: Connection): void {
    const config = this.#config;
    connection.sendMessage({
      type: 'welcome',
      protocol: SUBPROTOCOL,
      hub_id: this.hub_id,
      connection_id: connection.id,
      role: connection.role,
      ...(connection.client_id === undefined ? {} : { client_id: connection.client_id }),
      server_time: this.#clock.now(),
      ping_interval_ms: config.PING_INTERVAL_MS,
      limits: {
        max_message_bytes: config.MAX_MESSAGE_BYTES,
        max_params_bytes: config.MAX_PARAMS_BYTES,
        max_result_bytes: config.MAX_RESULT_BYTES,
        max_batch: BATCH_MAX,
        max_watch: WATCH_MAX,
        idempotency_ms: config.IDEMPOTENCY_MS,
      },
    });
    if (connection.role === 'worker') this.#awaitRegistration(connection);
    if (connection.role === 'monitor') void this.#greetMonitor(connection);
  }

  #awaitRegistration(connection: Connection): void {
    const timer = setTimeout(() => {
      if (!this.#fleet.machineOf(connection)) connection.close(CLOSE.timeout, 'no registration came in time');
    }, this.#config.REGISTER_TIMEOUT_MS);
    connection.onClose(() => {
      clearTimeout(timer);
      void this.#fleet.disconnected(connection);
    });
  }

  async #greetMonitor(connection: Connection): Promise<void> {
    const open = this.#monitors.add(connection);
    try {
      open(await this.#operations.snapshot(this.#config.MAX_MESSAGE_BYTES));
    } catch (error) {
      this.#router.fail(connection, undefined, error);
      connection.close(CLOSE.overloaded, 'no snapshot can be had now');
    }
  }

  #mustBeRegistered(connection: Connection, type: string): void {
    if (connection.role !== 'worker' || type === 'ping' || type === 'register_worker') return;
    if (!this.#fleet.machineOf(connection))
      throw new HubError('not_registered', 'register_worker must come first');
  }
}
