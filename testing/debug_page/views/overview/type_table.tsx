import { hub } from '../../state/hub_state.ts';
import { count, duration, percent } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { Card } from '../../ui/card.tsx';
import { Glyph } from '../../ui/glyph.tsx';
import { hrefOf } from '../../ui/route.ts';

const TYPES_MAX = 50;

export function TypeTable() {
  const types = Object.entries(hub.stats?.by_type ?? {}).sort(
    ([a, x], [b, y]) => y.queued + y.active - (x.queued + x.active) || (a < b ? -1 : 1),
  );
  const most = Math.max(1, ...types.map(([, type]) => type.queued + type.active));
  const isPaused = (name: string) => hub.paused.some(p => p.job_type === null || p.job_type === name);
  return (
    <Card title="By job type" class="types">
      {types.length === 0 && <p class="muted">No job was submitted yet.</p>}
      {types.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>type</th>
              <th class="wide-only">
                <i class="key key-waiting-fill" /> waiting <i class="key key-running-fill" /> running
              </th>
              <th class="num">waiting</th>
              <th class="num">running</th>
              <th class="num">done</th>
              <th class="num">failed</th>
              <th class="num wide-only">mean run</th>
            </tr>
          </thead>
          <tbody>
            {types.slice(0, TYPES_MAX).map(([name, type]) => (
              <tr key={name}>
                <td>
                  <a href={hrefOf('jobs', '', { q: `type:${name}` })}>
                    <Text value={name} />
                  </a>
                  {isPaused(name) && (
                    <span class="tone-waiting">
                      {' '}
                      <Glyph name="paused" /> paused
                    </span>
                  )}
                </td>
                <td class="wide-only">
                  <span class="load">
                    <i class="fill-waiting" style={{ width: `${(type.queued / most) * 100}%` }} />
                    <i class="fill-running" style={{ width: `${(type.active / most) * 100}%` }} />
                  </span>
                </td>
                <td class="num">{count(type.queued)}</td>
                <td class="num">{count(type.active)}</td>
                <td class="num">{count(type.completed)}</td>
                <td class={`num ${type.failed > 0 ? 'tone-bad' : ''}`}>
                  {count(type.failed)}
                  <small>{failedShare(type.completed, type.failed)}</small>
                </td>
                <td class="num wide-only">{duration(type.avg_run_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}

function failedShare(completed: number, failed: number): string {
  return failed === 0 ? '' : ` ${percent(failed / (completed + failed))}`;
}
