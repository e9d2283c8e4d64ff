import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { HostProcess } from './host-process.ts';
import type { Sandbox } from './sandbox.ts';

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

for (const [what, message] of [
  ['nothing', 'null'],
  ['a text', "'ended'"],
  ['an unknown type', "{ type: 'lease' }"],
  ['no type', '{}'],
  ['memory that is no number', "{ type: 'pong', heldMb: { 'base-1': 'much' } }"],
  ['a pong without figures', "{ type: 'pong' }"],
] as const) {
  test(`a host that sends ${what} over its channel is killed, and ends no base of another host`, async (t) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'hearth-channel-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const script = `process.send({ type: 'ready' }); process.send({ type: 'ended', base: 'of-another-host', reason: 'x' }); process.send(${message}); setInterval(() => {}, 1000)`;
    // Stands in for a host whose process was taken over.
    const takenOver: Sandbox = { wrap: () => ({ file: process.execPath, args: ['-e', script] }) };
    const ended: string[] = [];
    const died = Promise.withResolvers<string>();
    const host = new HostProcess({
      id: 'host-1',
      definition: { name: 'default', shared: [], setupPath: null, env: {} },
      settings: { baseFile: '', readable: [], maxBases: 1, heapLimitMb: 512, inspected: false, ownSession: false },
      dir,
      sandbox: takenOver,
      network: 'all',
      socketPath: '',
      log: SILENT,
      onState: (_host, state, why) => {
        if (state === 'dead') died.resolve(why);
      },
      onBaseEnded: (base) => ended.push(base),
      onBreach: () => undefined,
      onMeasured: () => undefined,
    });
    t.after(() => host.kill('the test is over'));
    assert.match(await died.promise, /against the rules/);
    await host.exited;
    assert.deepEqual(ended, []);
  });
}

test('what a host measured of its bases is told, and of no other', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'hearth-channel-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const script = `process.send({ type: 'ready' }); process.on('message', ({ type }) => { if (type === 'ping') process.send({ type: 'pong', heldMb: { 'of-another-host': 1, 'base-1': 24 } }) })`;
  const standsIn: Sandbox = { wrap: () => ({ file: process.execPath, args: ['-e', script] }) };
  const measured = Promise.withResolvers<[string, number]>();
  const running = Promise.withResolvers<void>();
  const host = new HostProcess({
    id: 'host-1',
    definition: { name: 'default', shared: [], setupPath: null, env: {} },
    settings: { baseFile: '', readable: [], maxBases: 1, heapLimitMb: 512, inspected: false, ownSession: false },
    dir,
    sandbox: standsIn,
    network: 'all',
    socketPath: '',
    log: SILENT,
    onState: (_host, state) => {
      if (state === 'running') running.resolve();
    },
    onBaseEnded: () => undefined,
    onBreach: () => undefined,
    onMeasured: (base, heldMb) => measured.resolve([base, heldMb]),
  });
  t.after(async () => {
    host.kill('the test is over');
    await host.exited;
  });
  await running.promise;
  const filesDir = host.takeSlot();
  host.boot({ base: 'base-1', token: '', socketPath: '', shared: [], setupPath: null, env: {}, filesDir });
  host.ping(0);
  assert.deepEqual(await measured.promise, ['base-1', 24]);
});
