import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from './config.ts';

describe('settings', () => {
  it('have the defaults of the protocol', () => {
    expect(readConfig({})).toMatchObject({
      REDIS_HOST: 'localhost',
      REDIS_PORT: 6379,
      HUB_HOST: '127.0.0.1',
      HUB_PORT: 8000,
      LEASE_MS: 60_000,
      HEARTBEAT_INTERVAL_MS: 15_000,
      MAX_MESSAGE_BYTES: 1_048_576,
      MAX_PARAMS_BYTES: 786_432,
      PRIORITY_AGING_MS: 0,
    });
  });

  it.each([
    ['DEBUG', 'debug'],
    ['INFO', 'info'],
    ['WARNING', 'warn'],
    ['warn', 'warn'],
    ['CRITICAL', 'fatal'],
    ['trace', 'trace'],
  ])('LOG_LEVEL %s is taken as %s', (given, level) => {
    expect(readConfig({ LOG_LEVEL: given }).LOG_LEVEL).toBe(level);
  });

  it.each([
    ['REDIS_PORT', 'six'],
    ['REDIS_PORT', '70000'],
    ['HUB_PORT', '-1'],
    ['LEASE_MS', '0'],
    ['LEASE_MS', '1.5'],
    ['LOG_LEVEL', 'loud'],
    ['REDIS_URL', 'http://x'],
    ['MAX_SIGNATURES', '0'],
    ['DURABILITY', 'paper'],
    ['CONNECT_RATE', '0'],
  ])('a bad %s=%s is refused by name', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(ConfigError);
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });

  it('empty values count as absent', () => {
    expect(readConfig({ REDIS_URL: '', HUB_PORT: '' }).HUB_PORT).toBe(8000);
  });

  it('defaults follow the settings they depend on', () => {
    expect(readConfig({ LEASE_MS: '1000' }).HEARTBEAT_INTERVAL_MS).toBe(250);
    expect(readConfig({ MAX_MESSAGE_BYTES: '65536' }).MAX_PARAMS_BYTES).toBe(49_152);
  });

  it('params that would not fit into a frame are refused', () => {
    expect(() => readConfig({ MAX_PARAMS_BYTES: '1048576' })).toThrow('MAX_PARAMS_BYTES');
  });

  it('origins are a list', () => {
    expect(readConfig({ ALLOWED_ORIGINS: 'null, https://a.example' }).ALLOWED_ORIGINS).toEqual([
      'null',
      'https://a.example',
    ]);
  });
});
