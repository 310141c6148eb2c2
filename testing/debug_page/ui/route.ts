// The address of a view is the fragment, so it works from disk and can be pasted to a colleague:
// `#/jobs?q=status:failed`, `#/job/ID`, `#/worker/ID`, and `#hub=ws://host:8000` alone or as a parameter.

import { useEffect, useState } from 'preact/hooks';
import { link } from '../net/hub_link.ts';
import { ownHub, readAddress } from '../net/hub_address.ts';

export const VIEWS = ['overview', 'machines', 'jobs', 'console'] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  page: View | 'job' | 'worker';
  /** The id of a job or worker. */
  id: string;
  parameters: URLSearchParams;
}

const PAGES: ReadonlySet<string> = new Set([...VIEWS, 'job', 'worker']);

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function readRoute(fragment: string): Route {
  const text = fragment.replace(/^#/, '');
  const [path = '', query = ''] = text.startsWith('/') ? text.slice(1).split(/\?(.*)/s) : ['', text];
  const [page = '', ...id] = path.split('/');
  return {
    page: (PAGES.has(page) ? page : 'overview') as Route['page'],
    id: decoded(id.join('/')),
    parameters: new URLSearchParams(query),
  };
}

/** The hub that a fragment names, or the page's own. */
export function hubOf(route: Route): string {
  return readAddress(route.parameters.get('hub') ?? '') ?? ownHub;
}

/** The fragment of a view; a hub that is not the page's own stays in it. */
export function hrefOf(page: Route['page'], id = '', parameters: Record<string, string> = {}): string {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== ''));
  if (link.hub !== '' && link.hub !== ownHub) query.set('hub', link.hub);
  const text = query.toString().replaceAll('%3A', ':').replaceAll('%2F', '/');
  return `#/${page}${id === '' ? '' : `/${encodeURIComponent(id)}`}${text === '' ? '' : `?${text}`}`;
}

export function go(page: Route['page'], id?: string, parameters?: Record<string, string>): void {
  location.hash = hrefOf(page, id, parameters);
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => readRoute(location.hash));
  useEffect(() => {
    const changed = () => setRoute(readRoute(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
