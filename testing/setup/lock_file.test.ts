/** `npm ci` by hand, on any machine: it refuses a lock file that lacks what a package may want on another platform. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface LockedPackage {
  version: string;
  integrity?: string;
  optionalDependencies?: Record<string, string>;
}

const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as {
  packages: Record<string, LockedPackage>;
};
const packages = Object.entries(lock.packages).filter(([path]) => path !== '');

/** Where Node looks for a package that another one needs: beside it, then further out. */
function* placesOf(name: string, from: string): Generator<string> {
  for (
    let folder = from;
    folder !== '';
    folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))
  )
    yield `${folder}/node_modules/${name}`;
  yield `node_modules/${name}`;
}

test('names the optional packages of all platforms', () => {
  const missing = packages.flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      name => ![...placesOf(name, path)].some(place => place in lock.packages),
    ),
  );
  expect(missing).toEqual([]);
  expect(packages.some(([path]) => path.endsWith('cli-darwin-arm64'))).toBe(true);
});

test('says of each package what its content must be', () => {
  expect(
    packages.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path),
  ).toEqual([]);
});
