import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Rig, startRig } from './testing/rig.ts';

/** Finds what acts on more than this base, wherever it leaked to: a `process` or a `require` that is not the guarded one. */
const DANGEROUS = `
  const harm = (p) => {
    const found = [];
    for (const name of ['kill', '_kill', 'binding', '_linkedBinding', 'dlopen', '_debugProcess', '_getActiveHandles', 'execve', 'getBuiltinModule', 'abort']) {
      let said = 'nothing';
      try { said = p[name]?.(name === 'getBuiltinModule' ? 'node:worker_threads' : p.ppid, 0) } catch (error) { said = /not available to functions/.test(error.message) ? undefined : error.message }
      if (said !== undefined) found.push(name);
    }
    return found;
  };`;

describe('code that replaces the methods which its base is built of', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig[Symbol.asyncDispose]());

  test('gets hold of the real process by EventEmitter.prototype.emit, and of nothing that acts on it', async () => {
    const found = (await rig.result(`${DANGEROUS}
      const { EventEmitter } = require('events');
      const emit = EventEmitter.prototype.emit;
      const seen = [];
      EventEmitter.prototype.emit = function (...args) { seen.push(this); return emit.apply(this, args) };
      Promise.reject(new Error('unhandled'));
      await new Promise((resolve) => setTimeout(resolve, 20));
      EventEmitter.prototype.emit = emit;
      const leaked = seen.filter((it) => it !== process && typeof it.reallyExit === 'function');
      return { leaked: leaked.length > 0, harm: leaked.flatMap(harm) };`)) as { leaked: boolean; harm: string[] };
    assert.equal(found.leaked, true, 'the attack is the one it was');
    assert.deepEqual(found.harm, []);
  });

  const forbidden =
    "['repl', 'inspector', 'node:sqlite', 'node:ffi', 'trace_events', 'node:test', 'domain', 'wasi', 'sea']";
  for (const [what, patch] of [
    ['Set.prototype.has', 'Set.prototype.has = () => true'],
    ['Map.prototype.get', 'Map.prototype.get = () => () => ({ stolen: true })'],
    [
      'Array.prototype.includes and filter',
      'Array.prototype.includes = () => true; Array.prototype.filter = function () { return this }',
    ],
    [
      'String.prototype.startsWith and slice',
      "String.prototype.startsWith = () => false; String.prototype.slice = () => 'fs'",
    ],
    ['Object.prototype', 'Object.prototype.repl = Object.prototype.inspector = Object.prototype.wasi = true'],
    ['Object.hasOwn and Reflect', 'Object.hasOwn = () => true; Reflect.apply = () => ({ stolen: true })'],
    [
      'Function.prototype.call and bind',
      'Function.prototype.call = Function.prototype.bind = () => () => ({ stolen: true })',
    ],
    [
      'RegExp.prototype.test and exec',
      "RegExp.prototype.test = () => true; RegExp.prototype.exec = () => ['node:fs', 'fs']",
    ],
  ] as const) {
    test(`opens no forbidden built-in by replacing ${what}`, async () => {
      const got = (await rig.result(`
        const names = ${forbidden};
        const put = (target) => Object.getOwnPropertyDescriptors(target);
        const targets = [Set.prototype, Map.prototype, Array.prototype, String.prototype, Object, Reflect, Function.prototype, RegExp.prototype];
        const saved = targets.map(put);
        const define = Object.defineProperties, got = [];
        ${patch};
        try { for (let at = 0; at < names.length; at++) { try { const m = require(names[at]); if (m !== undefined && m !== null && Object.keys(m).length > 0) got[got.length] = names[at] } catch {} } }
        finally { for (let at = 0; at < targets.length; at++) define(targets[at], saved[at]); for (const key of ['repl', 'inspector', 'wasi']) delete Object.prototype[key] }
        return got;`)) as string[];
      assert.deepEqual(got, []);
    });
  }

  test('reaches no descriptor that it did not open: not by classes, handles, sets or servers', async () => {
    await rig.deployAttacker('filer', {}, { 'page.html': '<p>' });
    const out = (await rig.result(
      `
      const fs = require('fs'), own = process.cwd() + '/page.html', wrote = {};
      const write = (Stream, options) => new Promise((resolve) => {
        try { const s = new Stream('', options); s.on('error', () => resolve('refused')); s.write('x', (error) => resolve(error ? 'refused' : 'wrote')) } catch { resolve('refused') }
      });
      for (let fd = 3; fd < 40; fd++) {
        const tries = {
          parent: await write(Object.getPrototypeOf(fs.WriteStream), { fd }),
          stream: await write(fs.WriteStream, { fd }),
        };
        const has = Set.prototype.has; Set.prototype.has = () => true;
        try { fs.writeSync(fd, 'x'); tries.set = 'wrote' } catch { tries.set = 'refused' }
        Set.prototype.has = has;
        try { new (require('net').Socket)({ fd }); tries.socket = 'wrote' } catch { tries.socket = 'refused' }
        try { require('http2').createServer(); tries.http2 = 'wrote' } catch { tries.http2 = 'refused' }
        const stream = fs.createReadStream(own);
        stream.fd = fd;
        tries.redirected = await require('stream/consumers').text(stream) === '<p>' ? 'refused' : 'read';
        for (const [how, said] of Object.entries(tries)) if (said !== 'refused') wrote[how] = fd;
      }
      const { EventEmitter } = require('events'), init = EventEmitter.init, leaked = [];
      EventEmitter.init = function (...args) { leaked.push(this); return init.apply(this, args) };
      const handle = await fs.promises.open(own);
      const text = await handle.readFile('utf8');
      await fs.promises.readFile(own);
      await handle.close();
      EventEmitter.init = init;
      const native = [handle, ...leaked].filter((it) => Object.getOwnPropertySymbols(it).some((s) => /kHandle/.test(String(s)))).length;
      const forged = await attempt(() => new handle.constructor(20).stat());
      return { wrote, text, native, forged };`,
      'filer',
    )) as { wrote: object; text: string; native: number; forged: string };
    assert.deepEqual(out.wrote, {});
    assert.equal(out.text, '<p>', 'its own files are read as ever');
    assert.equal(out.native, 0);
    assert.match(out.forged, /descriptor 20 is not available/);
  });

  test('sees neither this nor functions of its base in stack frames', async () => {
    const frames = (await rig.result(`
      Error.prepareStackTrace = (_, sites) => sites.map((site) => [String(site.getFileName()), site.getThis() !== undefined || site.getFunction() !== undefined]);
      try { return new Error().stack } finally { Error.prepareStackTrace = undefined }`)) as [string, boolean][];
    const foreign = frames.filter(([file]) => /base\.cjs|^node:|piscina/.test(file));
    assert.ok(foreign.length > 0);
    assert.deepEqual(
      foreign.filter(([, open]) => open),
      [],
    );
  });

  test('finds nothing of its base in globals, hooks, channels, locks and ports', async () => {
    const found = await rig.result(`
      return {
        symbols: Object.getOwnPropertySymbols(globalThis).filter((s) => /hearth/.test(String(s))).map((s) => attempt && String(s)),
        gate: await attempt(() => globalThis[Symbol.for('hearth.import')]('node:inspector')),
        locks: typeof navigator.locks, channel: typeof BroadcastChannel, storage: typeof localStorage,
        port: require('worker_threads').parentPort, data: require('worker_threads').workerData,
        resource: typeof require('async_hooks').executionAsyncResource, hook: await attempt(() => require('async_hooks').createHook({})),
        main: typeof require.main, cache: typeof require.cache,
        real: await attempt(() => require('module').createRequire('/')('inspector')),
        engine: await attempt(() => require('crypto').setEngine('/tmp/x.so')),
        addon: await attempt(() => require('/tmp/x.node')),
        flags: await attempt(() => require('v8').setFlagsFromString('--allow-natives-syntax')),
        imported: await attempt(() => new Function('return import("node:inspector")')()),
        evaluated: await attempt(() => eval('import("node:inspector")')),
        worker: await attempt(() => new (require('worker_threads').Worker)('1', { eval: true, execArgv: [] })),
      };`);
    const { symbols, gate, resource, hook, engine, addon, flags, imported, evaluated, worker, real, ...rest } =
      found as Record<string, string>;
    assert.deepEqual(symbols, ['Symbol(hearth.import)']);
    assert.equal(resource, 'undefined');
    for (const said of [hook, flags]) assert.match(said as string, /is not a function/);
    for (const said of [gate, addon, worker, real]) assert.match(said as string, /not available to functions/);
    assert.match(engine as string, /refused/);
    for (const said of [imported, evaluated]) assert.match(said as string, /dynamic import callback/);
    assert.deepEqual(rest, {
      ...{ locks: 'undefined', channel: 'undefined', storage: 'undefined', port: null, data: null },
      ...{ main: 'undefined', cache: 'undefined' },
    });
  });

  for (const [what, patch] of [
    ['JSON', 'JSON.parse = JSON.stringify = () => { throw new Error("mine") }'],
    ['Buffer', 'Buffer.from = Buffer.alloc = Buffer.allocUnsafeSlow = () => { throw new Error("mine") }'],
    ['Promise.prototype.then', 'Promise.prototype.then = () => { throw new Error("mine") }'],
    [
      'timers and ticks',
      'process.nextTick = globalThis.setTimeout = globalThis.setImmediate = () => { throw new Error("mine") }',
    ],
    ['Map', 'Map.prototype.get = Map.prototype.set = Map.prototype.delete = () => { throw new Error("mine") }'],
    ['the socket', "require('stream').Duplex.prototype.write = () => { throw new Error('mine') }"],
    ['Array.prototype.push', 'Array.prototype.push = () => { throw new Error("mine") }'],
    [
      'setters of Object.prototype',
      "Object.defineProperty(Object.prototype, 'kind', { set() { throw new Error('mine') }, get() { return 'load' }, configurable: true })",
    ],
  ] as const) {
    test(`harms itself alone by breaking ${what}`, async () => {
      const name = await rig.freshAttacker();
      const controller = AbortSignal.timeout(5_000);
      const answered = await fetch(`${rig.gateway.url}/${name}`, {
        method: 'POST',
        body: `${patch}; return 'done'`,
        signal: controller,
      }).then(
        (response) => response.status,
        () => 0,
      );
      assert.ok([0, 200, 500, 502, 504].includes(answered), String(answered));
      assert.equal(await rig.result("return 'anew'", name), 'anew');
    });
  }
});
