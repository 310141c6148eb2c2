import { afterEach, beforeEach, expect, test, vi } from 'vitest';

let listen: typeof import('./live.ts').listen;
let touch: typeof import('./live.ts').touch;
let frames: (() => void)[];
const frame = () => {
  for (const run of frames.splice(0)) run();
};

beforeEach(async () => {
  // What other tests touched is not to be drawn here.
  vi.resetModules();
  ({ listen, touch } = await import('./live.ts'));
  vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
  // Each test begins after a quiet moment.
  vi.advanceTimersByTime(10_000);
  frames = [];
  vi.stubGlobal('requestAnimationFrame', (run: () => void) => frames.push(run));
});
afterEach(() => {
  frame();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test('thousands of changes are one redraw, in the next frame', () => {
  const draw = vi.fn();
  const end = listen(['jobs', 'workers'], draw);
  for (let i = 0; i < 2000; i++) touch(i % 2 === 0 ? 'jobs' : 'workers');
  expect(frames).toHaveLength(1);
  expect(draw).not.toHaveBeenCalled();
  frame();
  expect(draw).toHaveBeenCalledTimes(1);
  end();
});

test('a stream of changes is drawn at most ten times a second, and its last is not left out', () => {
  const draw = vi.fn();
  const end = listen(['jobs'], draw);
  for (let ms = 0; ms < 1000; ms++) {
    touch('jobs');
    vi.advanceTimersByTime(1);
    if (ms % 16 === 0) frame();
  }
  expect(draw.mock.calls.length).toBeLessThanOrEqual(10);
  const before = draw.mock.calls.length;
  touch('jobs');
  vi.advanceTimersByTime(100);
  frame();
  expect(draw).toHaveBeenCalledTimes(before + 1);
  end();
});

test('only who listens to a topic is called', () => {
  const draw = vi.fn();
  const end = listen(['stats'], draw);
  touch('jobs');
  frame();
  expect(draw).not.toHaveBeenCalled();
  end();
  touch('stats');
  vi.advanceTimersByTime(100);
  frame();
  expect(draw).not.toHaveBeenCalled();
});
