// The connections that the console holds, beside the page's own.

import { Connection, type Frame } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { socketUrl } from '../../net/hub_address.ts';
import type { Role } from '../../../../core/messages/shared.ts';
import { touch } from '../../state/live.ts';

class Peers {
  #list: Connection[] = [];
  #numbers = new Map<Role, number>();
  selected: Connection | undefined;

  get all(): readonly Connection[] {
    return this.#list;
  }

  /** Opens one and makes it the one that messages are sent to. */
  open(role: Role, clientId?: string): Connection {
    const connection = this.add(role, clientId);
    this.select(connection);
    return connection;
  }

  /** Opens one and leaves the choice as it is. */
  add(role: Role, clientId?: string): Connection {
    const number = (this.#numbers.get(role) ?? 0) + 1;
    this.#numbers.set(role, number);
    const url = socketUrl(link.hub, role, clientId);
    const name = clientId === undefined || clientId === '' ? `${role} ${number}` : `${clientId} ${number}`;
    const connection = new Connection({ url, role, name, token: link.token });
    this.#list = [...this.#list, connection];
    return connection;
  }

  select(connection: Connection | undefined): void {
    this.selected = connection;
    touch('connections');
  }

  /** Closes it, and takes it off the list when it is closed already. */
  close(connection: Connection): void {
    if (connection.state !== 'closed') return connection.close();
    this.#list = this.#list.filter(other => other !== connection);
    if (this.selected === connection) this.select(this.#list.at(-1));
    touch('connections');
  }

  send(frame: Frame): void {
    this.selected?.send(frame);
  }
}

export const peers = new Peers();
