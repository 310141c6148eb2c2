import { Header } from './views/header.tsx';
import { AwayBanner } from './views/away_banner.tsx';
import { ConsoleView } from './views/console/console_view.tsx';
import { JobView } from './views/jobs/job_view.tsx';
import { JobsView } from './views/jobs/jobs_view.tsx';
import { MachinesView } from './views/machines/machines_view.tsx';
import { OverviewView } from './views/overview/overview_view.tsx';
import { Help } from './ui/help.tsx';
import { UndoBar } from './ui/undo_bar.tsx';
import { type Route, useRoute } from './ui/route.ts';

function Body({ route }: { route: Route }) {
  switch (route.page) {
    case 'overview':
      return <OverviewView />;
    case 'machines':
      return <MachinesView selected="" />;
    case 'worker':
      return <MachinesView selected={route.id} />;
    case 'jobs':
      return <JobsView query={route.parameters.get('q') ?? ''} />;
    case 'job':
      return <JobView key={route.id} jobId={route.id} />;
    case 'console':
      return <ConsoleView />;
  }
}

export function App() {
  const route = useRoute();
  return (
    <>
      <Header page={route.page} />
      <AwayBanner />
      <Help />
      <main class={`view view-${route.page}`}>
        <Body route={route} />
      </main>
      <UndoBar />
    </>
  );
}
