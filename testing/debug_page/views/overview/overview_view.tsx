import { hub } from '../../state/hub_state.ts';
import { useLive } from '../../state/live.ts';
import { EventList } from './event_list.tsx';
import { FirstRun } from './first_run.tsx';
import { HistoryCharts } from './history_charts.tsx';
import { HubList } from './hub_list.tsx';
import { KpiStrip } from './kpi_strip.tsx';
import { NeedsCard } from './needs_card.tsx';
import { TypeTable } from './type_table.tsx';

/** Numbers, then what needs a person, then charts: the order is the message. */
export function OverviewView() {
  // Workers and jobs come with `stats` once a second; the picture does not need them sooner.
  useLive('stats');
  if (hub.stats === undefined) return <p class="empty">No picture yet: the hub has not answered.</p>;
  return (
    <>
      <KpiStrip />
      <NeedsCard />
      <FirstRun />
      <HistoryCharts />
      <div class="columns">
        <div class="column">
          <TypeTable />
          <HubList />
        </div>
        <EventList />
      </div>
    </>
  );
}
