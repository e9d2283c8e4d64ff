import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { isFromOutside } from './peers.ts';

describe('the other end of a loopback connection', {
  skip: process.platform === 'linux' ? false : 'needs /proc',
}, () => {
  let server: Server;
  let port: number;
  const children: ChildProcess[] = [];
  const sockets: Socket[] = [];
  before(async () => {
    server = createServer();
    // Both families, as `localhost` may mean either.
    server.listen(0, '::');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    for (const child of children) child.kill('SIGKILL');
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  /** The server's end of a connection that this process holds. */
  async function connected(host: string): Promise<{ here: Socket; there: Socket }> {
    const there = connect(port, host);
    sockets.push(there);
    const [here] = (await once(server, 'connection')) as [Socket];
    sockets.push(here);
    return { here, there };
  }

  /** One that a process started by this one holds, or one that it starts itself. */
  async function connectedByChild(deep: boolean): Promise<{ here: Socket; child: ChildProcess }> {
    const script = `require('node:net').connect(${port}, '127.0.0.1'); setTimeout(() => {}, 60_000)`;
    const outer = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(script)}], { stdio: 'inherit' })`;
    const child = spawn(process.execPath, ['-e', deep ? outer : script], { stdio: 'ignore', detached: true });
    children.push(child);
    const [here] = (await once(server, 'connection')) as [Socket];
    sockets.push(here);
    return { here, child };
  }

  test('is outside when none of the hosts holds it, over either family', async () => {
    for (const host of ['127.0.0.1', '::1', '127.0.0.2']) {
      const { here } = await connected(host);
      assert.equal(await isFromOutside(here, () => []), true, host);
      assert.equal(await isFromOutside(here, () => [process.pid]), false, host);
    }
  });

  test('is a host’s when the host, or a process below it, holds it', async () => {
    const { here, child } = await connectedByChild(false);
    assert.equal(await isFromOutside(here, () => [child.pid as number]), false);
    const deep = await connectedByChild(true);
    assert.equal(await isFromOutside(deep.here, () => [deep.child.pid as number]), false);
    assert.equal(await isFromOutside(here, () => [deep.child.pid as number]), true);
    process.kill(-(deep.child.pid as number), 'SIGKILL');
  });

  test('is taken for a host’s when nobody holds it any more', async () => {
    const { here, child } = await connectedByChild(false);
    const ended = once(here, 'end');
    child.kill('SIGKILL');
    here.resume();
    await ended;
    assert.equal(await isFromOutside(here, () => []), false);
    const { here: closed, there } = await connected('127.0.0.1');
    const gone = once(closed, 'end');
    closed.resume();
    there.destroy();
    await gone;
    assert.equal(await isFromOutside(closed, () => []), false);
  });

  test('is not looked for in hosts that are gone', async () => {
    const { here } = await connected('127.0.0.1');
    const gone = spawn(process.execPath, ['-e', '0']);
    await once(gone, 'exit');
    assert.equal(await isFromOutside(here, () => [gone.pid as number]), true);
  });
});
