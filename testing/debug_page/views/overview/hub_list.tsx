import { hub } from '../../state/hub_state.ts';
import { count } from '../../text/format.ts';
import { Id } from '../../text/text.tsx';
import { Card } from '../../ui/card.tsx';

export function HubList() {
  return (
    <Card title="Hubs" class="hubs">
      <table>
        <thead>
          <tr>
            <th>hub</th>
            <th class="num">clients</th>
            <th class="num">machines</th>
            <th class="num">monitors</th>
          </tr>
        </thead>
        <tbody>
          {hub.hubs.map(one => (
            <tr key={one.hub_id}>
              <td>
                <Id value={one.hub_id} />
              </td>
              <td class="num">{count(one.clients)}</td>
              <td class="num">{count(one.machines)}</td>
              <td class="num">{count(one.monitors)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="muted small">
        As of this page's connection; clients now: {count(hub.stats?.clients ?? 0)}
        {(hub.stats?.events_left_out ?? 0) > 0 &&
          `; ${count(hub.stats?.events_left_out)} events left out by the hub`}
        .
      </p>
    </Card>
  );
}
