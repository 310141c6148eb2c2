// Makes a fresh checkout ready to run: Node.js new enough, node_modules as package-lock.json says.
//
// The first step of `npm start`, `npm test` and `npm run demo`, so it is plain JavaScript without
// dependencies, takes milliseconds when there is nothing to do, and may run several times at once.
// NODE_ENV=production (or npm's omit=dev) leaves development packages out, as `npm ci` itself does.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const LOCKFILE = join(ROOT, 'package-lock.json');
const NODE_MODULES = join(ROOT, 'node_modules');
const STAMP = join(NODE_MODULES, '.gpuhub-setup');
const MUTEX = join(ROOT, '.cache', 'setup.lock');
const MUTEX_OWNER = join(MUTEX, 'owner');

/** A mutex whose owner cannot be checked (another host, or not written yet) is given up after this. */
const MUTEX_STALE_MS = 600_000;
/** Between mkdir and the owner file lie microseconds; a mutex still without one was left by a crash. */
const MUTEX_OWNERLESS_MS = 10_000;
const MUTEX_POLL_MS = 100;

function fail(sentence, code = 1) {
  process.stderr.write(`gpuhub: ${sentence}\n`);
  process.exit(code);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

function checkNode() {
  const wanted = readJson(join(ROOT, 'package.json')).engines.node;
  const [wantedMajor, wantedMinor] = wanted.match(/\d+/g).map(Number);
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    fail(`this needs Node.js ${wanted}, and is run by ${process.version}: please install a newer one.`);
  }
}

/** What node_modules has to be made from: the lockfile's content, and the platform for compiled packages. */
function wantedStamp() {
  let lockfile;
  try {
    lockfile = readFileSync(LOCKFILE);
  } catch {
    fail('package-lock.json is missing: please restore it from the repository.');
  }
  const omitsDev = process.env.NODE_ENV === 'production' || /\bdev\b/.test(process.env.npm_config_omit || '');
  return {
    lockfile: createHash('sha256').update(lockfile).digest('hex'),
    platform: `${process.platform}-${process.arch}`,
    dev: !omitsDev,
  };
}

function stampFits(wanted) {
  const stamp = readJson(STAMP);
  return (
    stamp !== null &&
    stamp.lockfile === wanted.lockfile &&
    stamp.platform === wanted.platform &&
    (stamp.dev || !wanted.dev)
  );
}

/**
 * Whether somebody's own `npm ci` or `npm install` already did the work: npm's record of what it installed
 * has every package that the lockfile requires. Saves a second install, and leaves a folder in use alone.
 */
function npmRecordFits(wanted) {
  const stamp = readJson(STAMP);
  if (stamp !== null && stamp.platform !== wanted.platform) return false;
  const installed = readJson(join(NODE_MODULES, '.package-lock.json'));
  const locked = readJson(LOCKFILE);
  if (installed === null || locked === null) return false;
  return Object.keys(locked.packages).every(path => {
    const entry = locked.packages[path];
    if (path === '' || entry.optional || entry.devOptional || (entry.dev && !wanted.dev)) return true;
    const present = installed.packages[path];
    return (
      present !== undefined && present.version === entry.version && present.integrity === entry.integrity
    );
  });
}

function writeStamp(stamp) {
  const temporary = `${STAMP}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(stamp));
  renameSync(temporary, STAMP);
}

/** Runs npm from the root. @returns what it did, with stderr as text if that is not shown. */
function npm(args, stderr) {
  // Under `npm run` the same npm is used again, also where it is not on the PATH.
  const npmCli = process.env.npm_execpath || '';
  const viaNode = npmCli.endsWith('npm-cli.js');
  const command = viaNode ? process.execPath : 'npm';
  const allArgs = [...(viaNode ? [npmCli] : []), ...args, '--no-fund', '--no-audit', '--loglevel=error'];
  const result = spawnSync(command, allArgs, {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', stderr],
    encoding: 'utf8',
    shell: !viaNode && process.platform === 'win32',
  });
  if (result.error) fail(`npm cannot be run (${result.error.message}): please install npm.`);
  return result;
}

function install(wanted) {
  const started = Date.now();
  let result = npm(['ci'], 'pipe');
  // A registry mirror may lack optional packages of other platforms. A lockfile written there lacks them too,
  // and `npm ci` refuses it, while `npm install` goes by what it has and leaves it as it is.
  if (result.status !== 0 && /\bEUSAGE\b/.test(result.stderr))
    result = npm(['install', '--no-save'], 'inherit');
  else process.stderr.write(result.stderr);
  if (result.status !== 0) fail('npm could not install the packages, see above.', result.status || 1);
  writeStamp(wanted);
  process.stdout.write(`gpuhub: installed packages in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Whether the process that made the mutex is certainly gone. */
function mutexIsStale(owner) {
  let age;
  try {
    age = Date.now() - statSync(MUTEX).mtimeMs;
  } catch {
    return false; // released meanwhile
  }
  if (owner === null) return age > MUTEX_OWNERLESS_MS;
  return owner.host === hostname() ? !isAlive(owner.pid) : age > MUTEX_STALE_MS;
}

/** Takes a stale mutex away. Renaming picks one winner; if it took a fresh one by accident, it goes back. */
function breakMutex(owner) {
  const aside = `${MUTEX}.${process.pid}`;
  try {
    renameSync(MUTEX, aside);
    const taken = readJson(join(aside, 'owner'));
    if (JSON.stringify(taken) !== JSON.stringify(owner)) renameSync(aside, MUTEX);
    rmSync(aside, { recursive: true, force: true });
  } catch {
    // Somebody else was first: the caller looks again.
  }
}

function tryMutex() {
  mkdirSync(dirname(MUTEX), { recursive: true });
  try {
    mkdirSync(MUTEX);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(MUTEX_OWNER, JSON.stringify({ pid: process.pid, host: hostname() }));
  return true;
}

function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function takeMutex() {
  let told = false;
  while (!tryMutex()) {
    const owner = readJson(MUTEX_OWNER);
    if (mutexIsStale(owner)) {
      breakMutex(owner);
      continue;
    }
    if (!told) process.stdout.write('gpuhub: waiting for another set-up of this folder\n');
    told = true;
    sleep(MUTEX_POLL_MS);
  }
}

function ensurePackages() {
  const wanted = wantedStamp();
  if (stampFits(wanted)) return;
  takeMutex();
  process.on('exit', () => rmSync(MUTEX, { recursive: true, force: true }));
  if (stampFits(wanted)) return; // another one did it while this one waited
  if (npmRecordFits(wanted)) writeStamp(wanted);
  else install(wanted);
}

checkNode();
ensurePackages();
