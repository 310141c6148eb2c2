/** What a person looks at in `top`, and what a key changes in it. Nothing here knows a terminal or a hub. */

export const TABS = ['overview', 'machines', 'jobs', 'queues'] as const;
export type Tab = (typeof TABS)[number];

/** Which jobs the tab of jobs asks the hub for; `v` goes round. */
export const JOB_SETS = ['active', 'waiting', 'failed', 'all'] as const;
export type JobSet = (typeof JOB_SETS)[number];

/** How one list is looked at. */
export interface ListView {
  /** Which of its orders, see {@link LISTS}. */
  order: number;
  reversed: boolean;
  /** Only rows that contain this text are shown. */
  filter: string;
  /** The row that the cursor is on; null for the first one. It stays on its row when the list changes. */
  selected: string | null;
  /** The row that the cursor was on by its number, for when that row is gone. */
  index: number;
}

export interface View {
  tab: Tab;
  lists: Record<Tab, ListView>;
  jobs: JobSet;
  /** A text is being typed into the filter; this is what it was before. */
  typing: { before: string } | null;
  help: boolean;
  /** What was opened with Enter. */
  detail: { kind: 'job' | 'machine'; id: string; top: number } | null;
  /** Asked before something is done; `y` does it. */
  question: { text: string; effect: Effect } | null;
  held: boolean;
}

/** What a key asks for beside a changed view. */
export type Effect =
  | { do: 'quit' | 'faster' | 'slower' | 'redraw' | 'ask_jobs' }
  | { do: 'open'; id: string }
  | { do: 'cancel' | 'drain' | 'resume'; id: string };

/** What is on the screen while the key is pressed. */
export interface Shown {
  /** The rows of the list, in their order. */
  ids: readonly string[];
  /** How many of them are in sight at once. */
  page: number;
  /** Orders that the list has. */
  orders: number;
  /** Lines of what is opened. */
  detail_lines: number;
  /** What is asked before a row is changed, as its price. */
  question(action: 'cancel' | 'drain', id: string): string;
}

export function newView(tab: Tab = 'overview', filter = ''): View {
  const list = (): ListView => ({ order: 0, reversed: false, filter: '', selected: null, index: 0 });
  const view: View = {
    tab,
    lists: { overview: list(), machines: list(), jobs: list(), queues: list() },
    jobs: 'active',
    typing: null,
    help: false,
    detail: null,
    question: null,
    held: false,
  };
  view.lists[tab].filter = filter;
  return view;
}

/** Where the cursor is: on its row, or, when that is gone, where it was. */
export function cursorOf({ selected, index }: ListView, ids: readonly string[]): number {
  const found = selected === null ? -1 : ids.indexOf(selected);
  return found >= 0 ? found : Math.max(0, Math.min(index, ids.length - 1));
}

/** Changes the view as a key asks. @returns what else is to be done */
export function press(view: View, key: string, shown: Shown): Effect | undefined {
  if (key === 'ctrl-c') return { do: 'quit' };
  if (key === 'ctrl-l') return { do: 'redraw' };
  if (view.typing !== null) return typeInto(view, view.typing, key);
  if (view.question !== null) return answer(view, view.question, key);
  if (view.help) {
    view.help = false;
    return undefined;
  }
  return view.detail === null ? pressInList(view, key, shown) : pressInDetail(view, view.detail, key, shown);
}

function typeInto(view: View, { before }: { before: string }, key: string): undefined {
  const list = view.lists[view.tab];
  if (key === 'enter') view.typing = null;
  else if (key === 'escape') {
    list.filter = before;
    view.typing = null;
  } else if (key === 'backspace') list.filter = [...list.filter].slice(0, -1).join('');
  else if (key === 'ctrl-u') list.filter = '';
  else if ([...key].length === 1) list.filter += key;
  list.index = 0;
  list.selected = null;
  return undefined;
}

function answer(view: View, { effect }: { effect: Effect }, key: string): Effect | undefined {
  view.question = null;
  return key === 'y' || key === 'Y' ? effect : undefined;
}

function pressInDetail(
  view: View,
  detail: NonNullable<View['detail']>,
  key: string,
  { page, detail_lines }: Shown,
): Effect | undefined {
  const most = Math.max(0, detail_lines - page);
  const steps: Record<string, number> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    ' ': page,
  };
  const to: Record<string, number> = { home: 0, end: most };
  const next = to[key] ?? detail.top + (steps[key] ?? 0);
  detail.top = Math.max(0, Math.min(most, next));
  if (key === 'escape' || key === 'q' || key === 'enter' || key === 'left' || key === 'backspace')
    view.detail = null;
  if (key === '?') view.help = true;
  return undefined;
}

function pressInList(view: View, key: string, shown: Shown): Effect | undefined {
  const tab = tabOf(view.tab, key);
  if (tab !== undefined) {
    view.tab = tab;
    return { do: 'ask_jobs' };
  }
  const general = generalKey(view, key);
  if (general !== undefined || view.tab === 'overview') return general;
  const list = view.lists[view.tab];
  move(list, key, shown);
  if (key === '/') view.typing = { before: list.filter };
  if (key === 'escape') list.filter = '';
  if (key === 's') list.order = (list.order + 1) % shown.orders;
  if (key === 'S') list.order = (list.order + shown.orders - 1) % shown.orders;
  if (key === 'r') list.reversed = !list.reversed;
  if (key === 'v' && view.tab === 'jobs') {
    view.jobs = JOB_SETS[(JOB_SETS.indexOf(view.jobs) + 1) % JOB_SETS.length] as JobSet;
    list.selected = null;
    list.index = 0;
    return { do: 'ask_jobs' };
  }
  const id = shown.ids[cursorOf(list, shown.ids)];
  return id === undefined ? undefined : pressOnRow(view, key, id, shown);
}

function tabOf(present: Tab, key: string): Tab | undefined {
  const numbered = TABS[Number(key) - 1];
  if (numbered !== undefined) return numbered;
  const step = { tab: 1, right: 1, backtab: -1, left: -1 }[key];
  if (step === undefined) return undefined;
  return TABS[(TABS.indexOf(present) + step + TABS.length) % TABS.length];
}

function generalKey(view: View, key: string): Effect | undefined {
  switch (key) {
    case 'q':
    case 'Q':
      return { do: 'quit' };
    case '+':
      return { do: 'faster' };
    case '-':
      return { do: 'slower' };
    case '?':
    case 'h':
      view.help = true;
      return undefined;
    case ' ':
      view.held = !view.held;
      return undefined;
    default:
      return undefined;
  }
}

function move(list: ListView, key: string, { ids, page }: Shown): void {
  const steps: Record<string, number> = { up: -1, k: -1, down: 1, j: 1, pageup: -page, pagedown: page };
  const last = Math.max(0, ids.length - 1);
  const to: Record<string, number> = { home: 0, g: 0, end: last, G: last };
  const step = steps[key];
  if (step === undefined && to[key] === undefined) return;
  list.index = to[key] ?? Math.max(0, Math.min(last, cursorOf(list, ids) + (step as number)));
  list.selected = ids[list.index] ?? null;
}

function pressOnRow(view: View, key: string, id: string, shown: Shown): Effect | undefined {
  const { tab } = view;
  if (key === 'enter' || (key === 'w' && tab === 'jobs')) return open(view, id);
  if (key === 'c' && tab === 'jobs') {
    view.question = { text: shown.question('cancel', id), effect: { do: 'cancel', id } };
  }
  if (key === 'd' && tab === 'machines') {
    view.question = { text: shown.question('drain', id), effect: { do: 'drain', id } };
  }
  return key === 'u' && tab === 'machines' ? { do: 'resume', id } : undefined;
}

/** A job or a machine is shown as a whole; a queue leads to the jobs that wait in it. */
function open(view: View, id: string): Effect {
  if (view.tab === 'queues') {
    view.tab = 'jobs';
    view.jobs = 'waiting';
    Object.assign(view.lists.jobs, { filter: id, selected: null, index: 0 });
    return { do: 'ask_jobs' };
  }
  view.detail = { kind: view.tab === 'jobs' ? 'job' : 'machine', id, top: 0 };
  return { do: 'open', id };
}
