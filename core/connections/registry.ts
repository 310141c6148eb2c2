import type { Role } from '../messages/shared.ts';
import { ROLES } from '../messages/shared.ts';
import type { Connection } from './connection.ts';

/** Who is connected to this hub, by role. */
export class Registry {
  readonly #by_role = new Map<Role, Set<Connection>>(ROLES.map(role => [role, new Set()]));

  add(connection: Connection): void {
    const peers = this.of(connection.role);
    peers.add(connection);
    connection.onClose(() => peers.delete(connection));
  }

  of(role: Role): Set<Connection> {
    return this.#by_role.get(role) as Set<Connection>;
  }

  get size(): number {
    return ROLES.reduce((sum, role) => sum + this.of(role).size, 0);
  }

  *all(): Generator<Connection> {
    for (const role of ROLES) yield* [...this.of(role)];
  }
}
