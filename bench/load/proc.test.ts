import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { pssBytes, rssBytes, tree, treeCpuMs } from './proc.ts';

const proc = { skip: existsSync('/proc/self/stat') ? false : 'there is no /proc' };

test('a process is found with its descendants, their memory and their CPU time', proc, async () => {
  // The shell has a child of its own; both end with their input.
  const child = spawn('sh', ['-c', 'echo begun; cat; true'], { stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    await once(child.stdout, 'data');
    const pids = tree(process.pid);
    assert.equal(pids[0], process.pid);
    assert.ok(pids.includes(child.pid as number));
    assert.ok((rssBytes(process.pid) as number) > 10_000_000);
    assert.ok((pssBytes(process.pid) as number) > 10_000_000);
    assert.ok((treeCpuMs(process.pid) as number) >= (treeCpuMs(child.pid as number) as number));
  } finally {
    child.stdin.end();
    await once(child, 'exit');
  }
});

test('of a process that is gone nothing is said', async () => {
  const child = spawn('true', { stdio: 'ignore' });
  await once(child, 'exit');
  const pid = child.pid as number;
  assert.deepEqual([tree(pid), treeCpuMs(pid), rssBytes(pid), pssBytes(pid)], [[], null, null, null]);
});
