import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ask, moduleOf, startKeeper } from '../testing/harness.ts';
import { findSandbox, hostFiles, pidInside } from './sandbox.ts';

const { sandbox, why } = findSandbox();

test('without bwrap on PATH there is no sandbox, and the reason is told', () => {
  assert.deepEqual(findSandbox('/nowhere'), { sandbox: null, why: 'bwrap is not on PATH' });
});

test('a bwrap that may not make namespaces is no sandbox either', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'hearth-bwrap-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(path.join(directory, 'bwrap'), '#!/bin/sh\necho no permissions to create namespaces >&2\nexit 1\n', {
    mode: 0o755,
  });
  const found = findSandbox(directory);
  assert.equal(found.sandbox, null);
  assert.match(found.why, /does not work here: no permissions/);
});

interface Seen {
  root: string[];
  files: string[];
  pids: string[];
  interfaces: string[];
  environment: string[];
  wrote: string[];
}

/** What code with all of Node sees there, no policy in its way. */
const PROBE = `
const fs = require('fs');
const list = (p) => { try { return fs.readdirSync(p) } catch { return [] } };
process.on('message', (wanted) => process.send({
  root: list('/'),
  files: wanted.filter((p) => fs.existsSync(p)),
  pids: list('/proc').filter((name) => /^\\d+$/.test(name)),
  interfaces: Object.keys(require('os').networkInterfaces()),
  environment: Object.keys(process.env),
  wrote: ['/x', '/tmp/x', process.cwd() + '/x', '/etc/x'].filter((p) => { try { fs.writeFileSync(p, ''); return true } catch { return false } }),
}));`;

describe('a process in the sandbox', { skip: sandbox === null ? why : false }, () => {
  async function probe(t: TestContext, network: 'all' | 'none') {
    assert.ok(sandbox);
    const cwd = mkdtempSync(path.join(tmpdir(), 'hearth-sandboxed-'));
    const { file, args } = sandbox.wrap([process.execPath, '-e', PROBE], {
      readable: [...hostFiles(), cwd],
      cwd,
      network,
    });
    const child = spawn(file, args, { env: {}, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    t.after(() => {
      child.kill('SIGKILL');
      rmSync(cwd, { recursive: true, force: true });
    });
    const secret = path.join(tmpdir(), path.basename(cwd).replace('sandboxed', 'secret'));
    writeFileSync(secret, 'x');
    t.after(() => rmSync(secret, { force: true }));
    child.send([
      secret,
      '/etc/passwd',
      '/etc/shadow',
      '/home',
      '/root',
      '/usr',
      '/bin/sh',
      '/sys',
      '/var',
      process.env.HOME,
      `/proc/${process.pid}`,
      path.join(import.meta.dirname, '../../../gateway'),
    ]);
    const [seen] = (await once(child, 'message')) as [Seen];
    return { child, seen };
  }

  test('sees no file and no process of the machine, and writes nothing', async (t) => {
    const { seen } = await probe(t, 'all');
    const above = [process.execPath, ...hostFiles()].map((name) => name.split('/')[1]);
    assert.deepEqual(seen.files, []);
    assert.deepEqual(
      seen.root.filter((name) => !['dev', 'etc', 'lib', 'lib64', 'proc', 'tmp', 'usr', ...above].includes(name)),
      [],
    );
    assert.deepEqual(seen.pids, ['1', '2'], 'itself and the init of its namespace');
    assert.deepEqual(seen.wrote, []);
    assert.deepEqual(seen.environment, ['PWD']);
  });

  test('has no network where none is wanted', async (t) => {
    const { seen } = await probe(t, 'none');
    assert.deepEqual(
      seen.interfaces.filter((name) => name !== 'lo'),
      [],
    );
  });

  test('is found by its number on the machine, memory and all, and goes with the process around it', async (t) => {
    const { child } = await probe(t, 'all');
    const pid = pidInside(child);
    assert.ok(pid);
    assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^[^\0]*node/);
    assert.ok(Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) > 1000);
    // The kernel ends a PID namespace with its init: the channel closes when the last of it is gone.
    const ended = once(child, 'close');
    child.kill('SIGKILL');
    await ended;
    assert.equal(pidInside(child), null);
  });

  test('is a host: it serves functions, with and without the network, and stock keeps to its policy', async (t) => {
    const { keeper } = await startKeeper(t, { sandbox });
    const source = `exports.default = { fetch: () => Response.json(Object.keys(require('os').networkInterfaces())) }`;
    const open = await ask(keeper, moduleOf(source));
    assert.equal(open.status, 200);
    const shut = await ask(keeper, moduleOf(source, { network: 'none' }));
    assert.deepEqual(
      JSON.parse(shut.text).filter((name: string) => name !== 'lo'),
      [],
    );
    for (const host of keeper.snapshot().hosts) {
      if (host.state === 'running') assert.match(readFileSync(`/proc/${host.pid}/cmdline`, 'utf8'), /host\/main\.ts/);
    }
  });
});
