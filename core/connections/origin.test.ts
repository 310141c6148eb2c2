import { describe, expect, it } from 'vitest';
import { readConfig } from '../config.ts';
import { mayUse } from './origin.ts';

const asked = (origin: string | undefined, host: string, settings: Record<string, string> = {}) =>
  mayUse({ origin, host }, readConfig(settings));

describe.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost', 'LOCALHOST'])(
  'a hub on %s takes an origin as its own',
  HUB_HOST => {
    it.each(['localhost:8000', 'LocalHost', 'app.localhost:1', '127.0.0.1:8000', '127.9.9.9', '[::1]:8000'])(
      'when it is what was asked for and a name of this machine: %s',
      host => {
        expect(asked(`http://${host}`, host, { HUB_HOST })).toBe(true);
        expect(asked(`https://${host}`, host, { HUB_HOST })).toBe(true);
        expect(asked(`http://${host}`, 'localhost:2', { HUB_HOST })).toBe(false);
      },
    );

    it.each([
      'evil.example:8000',
      'localhost.evil.example',
      'notlocalhost',
      '127.0.0.1.evil.example:8000',
      '192.0.2.1:8000',
      '[::2]:8000',
      '[::1',
      '',
    ])('but not a name that somebody else can point at it: %s', host => {
      expect(asked(`http://${host}`, host, { HUB_HOST })).toBe(false);
    });
  },
);

describe('whatever the address', () => {
  it.each(['127.0.0.1', '0.0.0.0'])(
    '%s: no Origin and a listed one are welcome, others are not',
    HUB_HOST => {
      const settings = { HUB_HOST, ALLOWED_ORIGINS: 'https://gpu.example,null' };
      expect(asked(undefined, 'evil.example', settings)).toBe(true);
      expect(asked('https://gpu.example', 'gpu.example', settings)).toBe(true);
      expect(asked('null', 'localhost', settings)).toBe(true);
      expect(asked('https://evil.example', '127.0.0.1', settings)).toBe(false);
    },
  );
});

it.each(['0.0.0.0', '::', '192.0.2.1', 'gpu.example'])(
  'a hub on %s takes what was asked for as its own, by whatever name',
  HUB_HOST => {
    expect(asked('https://gpu.example', 'gpu.example', { HUB_HOST })).toBe(true);
    expect(asked('https://gpu.example', 'other.example', { HUB_HOST })).toBe(false);
  },
);
