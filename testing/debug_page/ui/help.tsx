import { touch, useLive } from '../state/live.ts';

const KEYS: [where: string, keys: [key: string, does: string][]][] = [
  [
    'everywhere',
    [
      ['/', 'find: a job id, a worker, any word'],
      ['g o', 'overview'],
      ['g m', 'machines'],
      ['g j', 'jobs'],
      ['g c', 'console'],
      ['t', 'light or dark'],
      ['Ctrl Z', 'undo, while it is offered'],
      ['Esc', 'back, or out of a field'],
      ['?', 'these keys'],
    ],
  ],
  [
    'jobs',
    [
      ['j k', 'next, previous'],
      ['Enter', 'open'],
      ['x', 'select; X a range'],
    ],
  ],
  [
    'a job',
    [
      ['c', 'cancel'],
      ['p', 'priority'],
      ['r', 'retry'],
      ['R', 'resubmit as new'],
      ['y', 'copy its id'],
      ['Y', 'copy as curl'],
    ],
  ],
  [
    'machines',
    [
      ['arrows', 'move, on the grid'],
      ['[ ]', 'previous, next problem'],
      ['d', 'drain'],
      ['u', 'resume'],
    ],
  ],
  ['console', [['Ctrl Enter', 'send']]],
];

let open = false;

export const isHelpOpen = () => open;

export function toggleHelp(): void {
  open = !open;
  touch('link');
}

/** All keys on one card. */
export function Help() {
  useLive('link');
  if (!open) return null;
  return (
    <dialog class="help card" open aria-label="keys">
      <header class="card-head">
        <h2>Keys</h2>
        <button type="button" class="quiet card-aside" aria-label="Close" onClick={toggleHelp}>
          ✕
        </button>
      </header>
      <div class="help-groups">
        {KEYS.map(([where, keys]) => (
          <section key={where}>
            <h3>{where}</h3>
            <dl>
              {keys.map(([key, does]) => [
                <dt key={key}>
                  <kbd>{key}</kbd>
                </dt>,
                <dd key={`${key} does`}>{does}</dd>,
              ])}
            </dl>
          </section>
        ))}
      </div>
    </dialog>
  );
}
