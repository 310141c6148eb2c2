// The page's own monitor connection: comes by itself, and comes back by itself.
//
//   connecting -> live (the snapshot is here) -> away (closed; waits, counts down) -> connecting ...

import { fillUnknownJobs } from './job_filler.ts';
import { type AwayText, explainAway, probe } from './away.ts';
import { backoffMs } from './backoff.ts';
import { Connection, type Frame } from './connection.ts';
import { takeFrame } from './take_frame.ts';
import { forgetTime, freezeTime, heardTime, thawTime } from '../state/hub_clock.ts';
import { touch } from '../state/live.ts';
import { socketUrl } from './hub_address.ts';

const FILL_EVERY_MS = 300;
/** A connection that brings no snapshot for so long is given up. */
const SNAPSHOT_TIMEOUT_MS = 10_000;

class HubLink {
  state: 'connecting' | 'live' | 'away' = 'connecting';
  hub = '';
  token = '';
  hubId = '';
  tries = 0;
  /** When the next try is due, by performance.now(). */
  nextTryAt = 0;
  /** When the link was lost, by the reader's clock; undefined if it never was there. */
  lostAt: number | undefined;
  away: AwayText | undefined;
  /** What the hub said instead of a snapshot. */
  #complaint = '';
  #connection: Connection | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Leaves the present hub, if any, for another. */
  goTo(hub: string, token = this.token): void {
    this.hub = hub;
    this.token = token;
    this.tries = 0;
    this.lostAt = undefined;
    forgetTime();
    this.connect();
  }

  connect(): void {
    clearTimeout(this.#timer);
    this.#drop();
    this.state = 'connecting';
    this.#complaint = '';
    this.#timer = setTimeout(() => this.#connection?.close(), SNAPSHOT_TIMEOUT_MS);
    try {
      this.#connection = this.#open();
    } catch (error) {
      // The browser itself says no, as to ws: from a page of https. Trying again would not help.
      clearTimeout(this.#timer);
      this.state = 'away';
      this.away = { part: 'link', text: 'This browser refuses to connect.', hint: (error as Error).message };
    }
    touch('link');
  }

  #open(): Connection {
    const url = socketUrl(this.hub, 'monitor');
    const connection = new Connection({ url, role: 'monitor', name: 'page', token: this.token, own: true });
    connection.onFrame = frame => this.#take(frame);
    connection.onClose = () => void this.#lost();
    return connection;
  }

  #drop(): void {
    if (this.#connection === undefined) return;
    this.#connection.onFrame = () => {};
    this.#connection.onClose = () => {};
    this.#connection.close();
  }

  #take(frame: Frame): void {
    if (frame.type === 'welcome') void this.#welcomed(frame);
    if (frame.type === 'error' && !this.isLive) this.#complaint = `${frame['code']}: ${frame['message']}`;
    takeFrame(frame);
    if (frame.type !== 'snapshot') return;
    this.state = 'live';
    this.away = undefined;
    this.tries = 0;
    thawTime();
    touch('link');
    this.#fill();
  }

  async #welcomed(welcome: Frame): Promise<void> {
    this.hubId = String(welcome['hub_id']);
    const sent = performance.now();
    const pong = await this.request({ type: 'ping' }).catch(() => undefined);
    if (pong !== undefined) heardTime(Number(pong['server_time']), performance.now() - sent);
  }

  #fill(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.state !== 'live') return;
      void fillUnknownJobs(frame => this.request(frame)).finally(() => this.#fill());
    }, FILL_EVERY_MS);
  }

  async #lost(): Promise<void> {
    const last = this.#connection?.closed ?? { code: 1006, reason: '', wasOpen: false };
    const closed = { ...last, reason: [last.reason, this.#complaint].filter(Boolean).join(' — ') };
    if (this.state === 'live') this.lostAt = Date.now();
    this.state = 'away';
    freezeTime();
    const wait = backoffMs(this.tries++);
    this.nextTryAt = performance.now() + wait;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), wait);
    touch('link');
    const found = await probe(this.hub);
    if (!this.isLive) this.away = explainAway(this.hub, closed, found);
    touch('link');
  }

  get isLive(): boolean {
    return this.state === 'live';
  }

  /** A request over the page's own connection. */
  request(frame: Frame): Promise<Frame> {
    if (this.#connection === undefined) return Promise.reject(new Error('not connected'));
    try {
      return this.#connection.request(frame);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

export const link = new HubLink();
