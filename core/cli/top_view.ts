import {
  bar,
  count,
  duration,
  fitting,
  paint,
  percent,
  plural,
  type Screen,
  shownWidth,
  visible,
} from './format.ts';
import { connected, problems, typeTable } from './summary.ts';
import { type Facts, type List, listOf, machinesOf } from './top_lists.ts';
import { cursorOf, newView, type Tab, TABS, type View } from './top_state.ts';

/** What a picture shows. */
export interface Picture extends Facts {
  /** The hub's address. */
  url: string;
  /** How many waited, the oldest first: for the little chart. */
  depths: readonly number[];
  /** Right of the address: whether the picture is live. */
  link: string;
  /** A sentence when the hub is away, else empty. */
  away: string;
  /** At the right end of the first line. */
  note: string;
  /** Said once, of what was just done; else empty. */
  notice: string;
  /** What was opened, line by line. */
  detail: readonly string[];
  /** Jobs of the set that is looked at, as the statistics count them; null when they do not. */
  jobs_known: number | null;
}

/** A picture, and what of it a key needs to know. */
export interface Drawn {
  lines: string[];
  ids: readonly string[];
  /** Rows in sight at once. */
  page: number;
}

const TYPES_MOST = 4;
const PROBLEMS_MOST = 3;
/** Of the lines that machines and jobs share, so much goes to the machines at most. */
const MACHINES_SHARE = 0.4;
const CHART_CELLS = 20;
const STEPS = '▁▂▃▄▅▆▇█';
/** Below so many rows, the head gives way to the list. */
const ROWS_OF_FULL_HEAD = 16;
const ROWS_OF_HEAD = 12;

const HELP = [
  'Tabs       1 to 4, Tab, Shift-Tab, left, right',
  'Rows       up, down (or k, j), PgUp, PgDn, Home, End',
  'Open       Enter: all of a job, and why it waits; the GPUs of a machine; the jobs that wait in a queue',
  'Filter     / and a text; Enter keeps it, Escape takes it away',
  'Sort       s and S go through the columns, r turns the order round',
  'Jobs       v goes through active, waiting, failed and all; c cancels',
  'Machines   d drains all GPUs of the machine, u resumes them',
  'Picture    space holds it, + and - draw more or less often, Ctrl-L draws it anew',
  'End        q or Ctrl-C',
  '',
  'GPUs       □ idle  ■ busy  ◔ stopping  ‖ draining  ☒ quarantined  ┄ away',
  'Jobs       ◷ scheduled  ○ queued  ▷ assigned  ► processing  ✓ completed  ✕ failed  ⊘ cancelled  ⌀ expired',
];

/**
 * The picture of `top`, none of its lines wider than the screen.
 *
 * @param rows how many lines there is room for; without end when it is printed once, then without keys and cursor
 */
export function draw(screen: Screen, picture: Picture, view: View, rows: number): Drawn {
  const live = Number.isFinite(rows);
  const top = [...headLines(screen, picture, rows), ...problemLines(screen, picture)];
  if (live) top.push(tabLine(screen, picture, view));
  else top.push('');
  const foot = live ? [footLine(screen, picture, view)] : [];
  const room = Math.max(0, rows - top.length - foot.length);
  const body = bodyOf(screen, picture, view, room);
  const lines = [...top, ...body.lines.slice(0, room)];
  while (live && lines.length < rows - foot.length) lines.push('');
  return { ...body, lines: [...lines, ...foot].slice(-rows).map(line => fitting(line, screen.width)) };
}

function headLines(screen: Screen, picture: Picture, rows: number): string[] {
  const { url, stats, depths, link, note } = picture;
  const { jobs, workers, rates, latency_ms: latency } = stats;
  const title = `${paint(screen, 'bold', 'gpuhub top')} · ${url} · ${plural(stats.hubs, 'hub')} · ${link}`;
  const gap = Math.max(2, (screen.width ?? 100) - shownWidth(title) - shownWidth(note));
  const slots = connected(stats);
  const working = workers.busy + workers.stopping;
  const use = slots > 0 ? working / slots : 0;
  const label = (text: string) => paint(screen, 'gray', text);
  const numbers = joined(screen, ' │ ', [
    `${label('WAIT')} ${count(jobs.queued)} ${chart(depths)} +${count(jobs.scheduled)} scheduled`,
    `${label('BUSY')} ${count(working)}/${count(slots)} ${bar(use)} ${percent(use)}`,
    `${label('DONE')} ${rates.completed_per_s.toFixed(1)}/s`,
    `${label('FAIL')} ${rates.failed_per_s.toFixed(1)}/s`,
    `${label('IN')} ${rates.submitted_per_s.toFixed(1)}/s`,
  ]);
  const times = joined(screen, ' │ ', [
    `${label('WAIT')} p50 ${duration(latency.queue_p50)} p99 ${duration(latency.queue_p99)}`,
    `${label('RUN')} p50 ${duration(latency.run_p50)} p99 ${duration(latency.run_p99)}`,
    `${label('OLDEST')} ${duration(stats.oldest_queued_ms)}`,
    `${count(jobs.completed)} completed ${count(jobs.failed)} failed`,
  ]);
  const lines = [`${title}${' '.repeat(gap)}${note}`, numbers, times];
  return lines.slice(0, rows >= ROWS_OF_FULL_HEAD ? 3 : rows >= ROWS_OF_HEAD ? 2 : 1);
}

/** As many parts as there is room for, never half of one. */
function joined({ width }: Screen, between: string, parts: readonly string[]): string {
  for (let most = parts.length; most > 1; most--) {
    const text = parts.slice(0, most).join(between);
    if (width === null || shownWidth(text) <= width) return text;
  }
  return parts[0] ?? '';
}

/** The newest values as steps from zero to the largest. */
function chart(values: readonly number[]): string {
  const shown = values.slice(-CHART_CELLS);
  const most = Math.max(1, ...shown);
  return shown.map(value => STEPS[Math.round((value / most) * (STEPS.length - 1))]).join('');
}

function problemLines(screen: Screen, { away, stats }: Picture): string[] {
  const found = problems(stats).slice(0, PROBLEMS_MOST);
  const lines = found.map(problem => paint(screen, 'red', `✕ ${problem}`));
  return away === '' ? lines : [paint(screen, 'red', `○ ${away}`), ...lines];
}

const NAMES: Record<Tab, string> = {
  overview: 'Overview',
  machines: 'Machines',
  jobs: 'Jobs',
  queues: 'Queues',
};

/** The tab that is open stands in brackets: also where there are no colours. */
function tabLine(screen: Screen, { stats, workers }: Picture, view: View): string {
  const counts: Record<Tab, string> = {
    overview: '',
    machines: ` ${count(machinesOf(workers).length)}`,
    jobs: ` ${view.jobs}`,
    queues: ` ${count(Object.keys(stats.by_type).length)}`,
  };
  const tabs = TABS.map((tab, i) => {
    const name = `${i + 1} ${NAMES[tab]}${counts[tab]}`;
    return tab === view.tab ? paint(screen, 'bold', `[${name}]`) : ` ${name} `;
  });
  return tabs.join(' ');
}

function footLine(screen: Screen, { notice }: Picture, view: View): string {
  if (view.question !== null)
    return paint(screen, 'bold', `${view.question.text} (y or any other key for no)`);
  if (view.typing !== null)
    return `/${visible(view.lists[view.tab].filter)}▏  Enter keeps it · Escape takes it away`;
  if (notice !== '') return paint(screen, 'bold', notice);
  if (view.help) return 'any key goes back';
  const end = view.detail === null ? ['? help', 'q quit'] : ['↑↓ scroll', 'Esc back', '? help'];
  const keys = view.detail === null ? [...KEYS[view.tab], view.held ? 'space goes on' : 'space hold'] : [];
  for (let most = keys.length; most >= 0; most--) {
    const text = [...keys.slice(0, most), ...end].join(' · ');
    if (most === 0 || screen.width === null || shownWidth(text) <= screen.width)
      return paint(screen, 'gray', text);
  }
  return '';
}

const LIST_KEYS = ['↑↓ move', '⏎ open', '/ filter', 's sort', 'r reverse'];
const KEYS: Record<Tab, string[]> = {
  overview: ['1-4 Tab other tabs', '+ - pace'],
  machines: [...LIST_KEYS, 'd drain', 'u resume'],
  jobs: [...LIST_KEYS, 'v which', 'c cancel'],
  queues: LIST_KEYS,
};

function bodyOf(screen: Screen, picture: Picture, view: View, room: number): Drawn {
  if (view.help) return { lines: HELP, ids: [], page: room };
  if (view.detail !== null) {
    const lines = picture.detail.slice(view.detail.top, view.detail.top + room);
    return { lines, ids: [], page: room };
  }
  if (view.tab === 'overview') return { lines: overview(screen, picture, room), ids: [], page: room };
  return listBody(screen, picture, view, view.tab, room);
}

/** A line that says what is shown, the head, then the rows around the cursor. */
function listBody(
  screen: Screen,
  picture: Picture,
  view: View,
  tab: Exclude<Tab, 'overview'>,
  room: number,
): Drawn {
  const live = Number.isFinite(room);
  const width = screen.width === null || !live ? screen.width : screen.width - 2;
  const list = listOf({ ...screen, width }, tab, picture, view.lists[tab]);
  const [head = '', ...rows] = list.lines;
  const page = Math.max(1, room - 2);
  const cursor = cursorOf(view.lists[tab], list.ids);
  const first = Math.max(0, Math.min(cursor - Math.floor(page / 2), rows.length - page));
  const shown = rows.slice(first, first + page).map((row, i) => {
    if (!live) return row;
    return first + i === cursor ? `${paint(screen, 'bold', '▸')} ${row}` : `  ${row}`;
  });
  const about = aboutList(picture, view, tab, list, first, shown.length);
  const lines = [paint(screen, 'gray', about)];
  if (rows.length > 0) lines.push(live ? `  ${head}` : head, ...shown);
  return { lines, ids: list.ids, page };
}

/** `200 of 1,503 active jobs · with "video": 12 · by RUN▼ · rows 1 to 12` */
function aboutList(
  picture: Picture,
  view: View,
  tab: Exclude<Tab, 'overview'>,
  { ids, all, sorted }: List,
  first: number,
  shown: number,
): string {
  const { filter } = view.lists[tab];
  const parts = [countText(picture, view, tab, all)];
  if (filter !== '') parts.push(`with "${visible(filter)}": ${count(ids.length)}`);
  if (sorted !== '') parts.push(`by ${sorted}`);
  if (shown < ids.length) parts.push(`rows ${count(first + 1)} to ${count(first + shown)}`);
  return parts.join(' · ');
}

function countText(picture: Picture, view: View, tab: Exclude<Tab, 'overview'>, all: number): string {
  if (tab === 'machines') {
    return all === 0
      ? 'no machine is connected'
      : `${plural(all, 'machine')}, ${plural(picture.workers.length, 'GPU')}`;
  }
  if (tab === 'queues') return all === 0 ? 'no job was ever submitted' : plural(all, 'job type');
  const what = view.jobs === 'all' ? '' : `${view.jobs} `;
  if (all === 0) return `no ${what}job`;
  const known = picture.jobs_known;
  const of =
    known !== null && known > all ? `the newest ${count(all)} of ${count(known)} ${what}jobs` : undefined;
  return of ?? plural(all, `${what}job`);
}

/** Types, machines and running jobs, as many lines of each as there is room for. */
function overview(screen: Screen, picture: Picture, room: number): string[] {
  const { stats } = picture;
  const lines: string[] = [];
  if (Object.keys(stats.by_type).length > 0)
    lines.push(...typeTable(screen, stats, TYPES_MOST).split('\n'), '');
  const plain = newView().lists;
  const machines = listOf(screen, 'machines', picture, plain.machines).lines;
  const running = picture.jobs.filter(({ status }) => status === 'assigned' || status === 'processing');
  const jobs = listOf(screen, 'jobs', { ...picture, jobs: running }, plain.jobs).lines;
  // Each of the two lists has a head and perhaps a line that counts the rest; a blank line is between them.
  const left = Math.max(2, room - lines.length - 5);
  const most = Math.min(
    machines.length - 1,
    Math.max(1, Math.floor(left * MACHINES_SHARE), left - running.length),
  );
  const active = Math.max(running.length, stats.jobs.assigned + stats.jobs.processing);
  lines.push(...section(machines, machines.length - 1, most, 'no machine is connected', 'machine'), '');
  lines.push(...section(jobs, active, Math.max(1, left - most), 'no job runs', 'running job'));
  return lines;
}

function section(
  lines: readonly string[],
  all: number,
  most: number,
  nothing: string,
  what: string,
): string[] {
  if (lines.length === 1) return [nothing];
  const shown = lines.slice(0, 1 + most);
  const more = all - (shown.length - 1);
  return more > 0 ? [...shown, `… ${plural(more, `more ${what}`)}`] : shown;
}
