import { render } from 'preact';
import { App } from './app.tsx';
import { link } from './net/hub_link.ts';
import { startSeconds } from './state/live.ts';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/overview.css';
import './styles/machines.css';
import './styles/jobs.css';
import './styles/console.css';
import './styles/narrow.css';
import { startHotKeys } from './ui/hot_keys.ts';
import { hubOf, readRoute } from './ui/route.ts';

startSeconds();
startHotKeys();
link.goTo(hubOf(readRoute(location.hash)));
// A colleague's address may name another hub.
addEventListener('hashchange', () => {
  const named = readRoute(location.hash).parameters.get('hub');
  const wanted = hubOf(readRoute(location.hash));
  if (named !== null && wanted !== link.hub) link.goTo(wanted);
});

const place = document.getElementById('app');
if (place !== null) render(<App />, place);
