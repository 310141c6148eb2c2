import { describe, expect, it } from 'vitest';
import { cursorOf, type Effect, newView, press, type Shown, type View } from './top_state.ts';

const IDS = Array.from({ length: 50 }, (_, i) => `id${i}`);

/** Presses keys one after the other. @returns what the last one asks for */
function type(view: View, keys: readonly string[], shown: Partial<Shown> = {}): Effect | undefined {
  let effect: Effect | undefined;
  const all: Shown = {
    ids: IDS,
    page: 10,
    orders: 3,
    detail_lines: 30,
    question: (action, id) => `${action} ${id}?`,
    ...shown,
  };
  for (const key of keys) effect = press(view, key, all);
  return effect;
}

const selected = (view: View) => IDS[cursorOf(view.lists[view.tab], IDS)];

describe('keys of top', () => {
  it('change the tab', () => {
    const view = newView();
    for (const [key, tab] of [
      ['3', 'jobs'],
      ['tab', 'queues'],
      ['tab', 'overview'],
      ['backtab', 'queues'],
      ['left', 'jobs'],
      ['2', 'machines'],
    ] as const) {
      expect(type(view, [key])).toEqual({ do: 'ask_jobs' });
      expect(view.tab).toBe(tab);
    }
    type(view, ['5', '0']);
    expect(view.tab).toBe('machines');
  });

  it('move the cursor, not beyond the ends', () => {
    const view = newView('jobs');
    type(view, ['up']);
    expect(selected(view)).toBe('id0');
    type(view, ['down', 'j', 'pagedown']);
    expect(selected(view)).toBe('id12');
    type(view, ['pageup', 'k', 'end', 'down']);
    expect(selected(view)).toBe('id49');
    type(view, ['home']);
    expect(selected(view)).toBe('id0');
  });

  it('the cursor stays on its row when the list changes, and near it when that row goes', () => {
    const view = newView('jobs');
    type(view, ['down', 'down']);
    expect(cursorOf(view.lists.jobs, ['new', ...IDS])).toBe(3);
    expect(cursorOf(view.lists.jobs, ['a', 'b', 'c', 'd'])).toBe(2);
    expect(cursorOf(view.lists.jobs, ['a'])).toBe(0);
    expect(cursorOf(view.lists.jobs, [])).toBe(0);
  });

  it('sort, turn round, and go through the sets of jobs', () => {
    const view = newView('jobs');
    type(view, ['s', 's', 's', 's', 'r']);
    expect(view.lists.jobs).toMatchObject({ order: 1, reversed: true });
    type(view, ['S', 'S']);
    expect(view.lists.jobs.order).toBe(2);
    expect(type(view, ['v'])).toEqual({ do: 'ask_jobs' });
    expect(view.jobs).toBe('waiting');
    type(view, ['v', 'v', 'v']);
    expect(view.jobs).toBe('active');
  });

  it('type a filter: letters that are keys elsewhere are letters there', () => {
    const view = newView('jobs');
    type(view, ['/', 'q', '2', 'é', 'x', 'backspace', 'up']);
    expect(view).toMatchObject({ tab: 'jobs', typing: { before: '' } });
    expect(view.lists.jobs.filter).toBe('q2é');
    type(view, ['enter']);
    expect(view).toMatchObject({ typing: null });
    type(view, ['/', 'z', 'escape']);
    expect(view.lists.jobs.filter, 'Escape takes back what was typed').toBe('q2é');
    type(view, ['/', 'ctrl-u', 'a', 'enter']);
    expect(view.lists.jobs.filter).toBe('a');
    type(view, ['escape']);
    expect(view.lists.jobs.filter, 'and in the list the filter itself').toBe('');
    expect(view.lists.machines.filter).toBe('');
  });

  it('open a job or a machine, scroll in it, and go back', () => {
    const view = newView('jobs');
    expect(type(view, ['down', 'enter'])).toEqual({ do: 'open', id: 'id1' });
    expect(view.detail).toEqual({ kind: 'job', id: 'id1', top: 0 });
    type(view, ['down', 'pagedown']);
    expect(view.detail?.top).toBe(11);
    type(view, ['end']);
    expect(view.detail?.top).toBe(20);
    expect(type(view, ['q'])).toBeUndefined();
    expect(view.detail).toBeNull();
    type(view, ['2', 'enter']);
    expect(view.detail).toMatchObject({ kind: 'machine', id: 'id0' });
  });

  it('a queue leads to the jobs that wait in it', () => {
    const view = newView('queues');
    expect(type(view, ['down', 'enter'])).toEqual({ do: 'ask_jobs' });
    expect(view).toMatchObject({ tab: 'jobs', jobs: 'waiting', lists: { jobs: { filter: 'id1' } } });
  });

  it('ask before they change anything that cannot be taken back', () => {
    const view = newView('jobs');
    expect(type(view, ['c'])).toBeUndefined();
    expect(view.question?.text).toBe('cancel id0?');
    expect(type(view, ['n'])).toBeUndefined();
    expect(view.question).toBeNull();
    expect(type(view, ['c', 'y'])).toEqual({ do: 'cancel', id: 'id0' });
    expect(type(view, ['d']), 'a job is not drained').toBeUndefined();
    expect(view.question).toBeNull();
    type(view, ['2']);
    expect(type(view, ['d', 'y'])).toEqual({ do: 'drain', id: 'id0' });
    expect(type(view, ['u'])).toEqual({ do: 'resume', id: 'id0' });
    expect(type(view, ['c'])).toBeUndefined();
    expect(view.question).toBeNull();
  });

  it('do nothing on a list without rows', () => {
    const view = newView('jobs');
    for (const key of ['enter', 'c', 'd', 'u', 'down', 'end', 'pageup'])
      expect(type(view, [key], { ids: [] })).toBeUndefined();
    expect(view).toMatchObject({ detail: null, question: null });
  });

  it('end it, hold it, and change its pace; Ctrl-C ends it from everywhere', () => {
    const view = newView();
    expect(type(view, ['q'])).toEqual({ do: 'quit' });
    expect(type(view, ['+'])).toEqual({ do: 'faster' });
    expect(type(view, ['-'])).toEqual({ do: 'slower' });
    expect(type(view, ['ctrl-l'])).toEqual({ do: 'redraw' });
    type(view, [' ']);
    expect(view.held).toBe(true);
    type(view, ['?']);
    expect(view.help).toBe(true);
    expect(type(view, ['q']), 'any key only leaves the help').toBeUndefined();
    expect(view.help).toBe(false);
    for (const keys of [['?'], ['3', '/'], ['3', 'enter'], ['3', 'c']]) {
      expect(type(newView(), [...keys, 'ctrl-c'])).toEqual({ do: 'quit' });
    }
  });
});
