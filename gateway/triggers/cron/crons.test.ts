import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { ResultHead } from '../../../functions/contract/invocation.ts';
import { CRON_LEAD_MS } from '../../../pool/keeper/policy/prewarm.ts';
import type { CronStore } from '../../store/api/crons.ts';
import { deploy, openRig, type Rig, rejection, SILENT, START_MS, settle } from '../testing/harness.ts';
import { type Crons, createCrons } from './crons.ts';

const MINUTE = 60_000;
const DONE: ResultHead = { kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 };

/** Tells when the store has been asked for something, so that a test need not guess. */
class WatchedCrons implements CronStore {
  private readonly inner: CronStore;
  private readonly watchers = new Map<string, (() => void)[]>();
  constructor(inner: CronStore) {
    this.inner = inner;
  }
  /** Resolves when the next call of this method has been answered. */
  next(method: keyof CronStore): Promise<void> {
    return new Promise((resolve) => {
      this.watchers.set(method, [...(this.watchers.get(method) ?? []), resolve]);
    });
  }
  private async watched<Result>(method: keyof CronStore, work: Promise<Result>): Promise<Result> {
    const result = await work;
    const waiting = this.watchers.get(method) ?? [];
    this.watchers.delete(method);
    for (const resolve of waiting) setImmediate(resolve);
    return result;
  }
  list = (...args: Parameters<CronStore['list']>) => this.watched('list', this.inner.list(...args));
  replace = (...args: Parameters<CronStore['replace']>) => this.watched('replace', this.inner.replace(...args));
  claim = (...args: Parameters<CronStore['claim']>) => this.watched('claim', this.inner.claim(...args));
  extend = (...args: Parameters<CronStore['extend']>) => this.watched('extend', this.inner.extend(...args));
  takeOver = (...args: Parameters<CronStore['takeOver']>) => this.watched('takeOver', this.inner.takeOver(...args));
  finish = (...args: Parameters<CronStore['finish']>) => this.watched('finish', this.inner.finish(...args));
  setPaused = (...args: Parameters<CronStore['setPaused']>) => this.watched('setPaused', this.inner.setPaused(...args));
}

interface CronRig extends Rig {
  crons: Crons;
  watched: WatchedCrons;
  /** As after a restart: another scheduler over the same store. */
  again(): Crons;
}

async function openCrons(t: TestContext): Promise<CronRig> {
  const rig = await openRig(t);
  const watched = new WatchedCrons(rig.store.crons);
  const make = () =>
    createCrons({
      store: watched,
      registry: rig.registry,
      dispatcher: rig.dispatcher,
      keeper: rig.keeper,
      changes: rig.store.changes,
      owner: 'gateway',
      now: rig.clock.now,
      timers: rig.clock,
      newId: rig.newId,
      log: SILENT,
    });
  return { ...rig, watched, crons: make(), again: make };
}

const report = (hearth: Record<string, unknown> = {}, crons = ['* * * * *']) => ({ triggers: { crons }, hearth });

test('a deployed cron fires when it is due, is claimed before it runs, and its end is recorded', async (t) => {
  const { crons, registry, clock, keeper, store, watched } = await openCrons(t);
  await crons.start();
  assert.deepEqual(await crons.list(), []);
  const replaced = watched.next('replace');
  await deploy(registry, 'report', report());
  await replaced;
  assert.equal((await crons.list())[0]?.nextAt, START_MS + MINUTE);

  clock.advance(MINUTE - 1);
  clock.advance(1);
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.call.trigger, 'cron');
  if (invoked.call.trigger === 'cron') {
    assert.equal(invoked.call.cron, '* * * * *');
    assert.equal(invoked.call.scheduledTime, START_MS + MINUTE);
  }
  const [claimed] = await store.crons.list();
  assert.equal(claimed?.last?.outcome, 'running');
  assert.equal(claimed?.last?.invocationId, invoked.call.invocationId);
  assert.equal(claimed?.nextAt, START_MS + 2 * MINUTE);
  assert.equal((await crons.list())[0]?.running, 1);

  const finished = watched.next('finish');
  invoked.answer(DONE);
  await finished;
  const [ended] = await store.crons.list();
  assert.equal(ended?.last?.outcome, 'ok');
  assert.equal(ended?.last?.dueAt, START_MS + MINUTE);
  assert.deepEqual((await crons.list())[0]?.last, { ...ended?.last, lateMs: 0 });
  await crons.drain();
  assert.equal(keeper.invoked.left, 0);
});

test('a function is loaded some seconds before its tick, once, and not when it ran a little before', async (t) => {
  const { crons, registry, clock, keeper, watched } = await openCrons(t);
  await deploy(registry, 'report', report({}, ['*/2 * * * *']));
  await crons.start();
  const dueAt = (await crons.list())[0]?.nextAt ?? 0;
  clock.advance(dueAt - START_MS - CRON_LEAD_MS - 1);
  assert.equal(keeper.prewarmed.length, 0);
  clock.advance(1);
  assert.equal(keeper.prewarmed.length, 1);
  assert.equal(keeper.prewarmed[0]?.spec, registry.function('report')?.active?.spec);
  assert.ok((keeper.prewarmed[0]?.keepMs ?? 0) > CRON_LEAD_MS);
  assert.equal(keeper.invoked.left, 0);
  clock.advance(CRON_LEAD_MS);
  const invoked = await keeper.invoked.next();
  // It runs until shortly before the next tick: its instance is still there then.
  clock.advance(100_000);
  const finished = watched.next('finish');
  invoked.answer(DONE);
  await finished;
  clock.advance(20_000);
  (await keeper.invoked.next()).answer(DONE);
  assert.equal(keeper.prewarmed.length, 1);
  await crons.drain();
});

test('what is paused is not loaded ahead', async (t) => {
  const { crons, registry, clock, keeper } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  await crons.setPaused((await crons.list())[0]?.id ?? '', true);
  clock.advance(10 * MINUTE);
  assert.equal(keeper.prewarmed.length, 0);
  await crons.drain();
});

test('a run lasts until its waitUntil has ended', async (t) => {
  const { crons, registry, clock, keeper, watched } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  clock.advance(MINUTE);
  const invoked = await keeper.invoked.next();
  invoked.sink.head({ ...DONE, waiting: true }, invoked.facts);
  invoked.sink.end();
  assert.equal((await crons.list())[0]?.running, 1);
  const finished = watched.next('finish');
  invoked.sink.released();
  await finished;
  assert.equal((await crons.list())[0]?.running, 0);
  await crons.drain();
});

test('what a function throws is recorded and not tried again', async (t) => {
  const { crons, registry, clock, keeper, store, watched } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  clock.advance(MINUTE);
  const finished = watched.next('finish');
  (await keeper.invoked.next()).fail(new HearthError('FUNCTION_EXCEPTION', 'no data'));
  await finished;
  const [record] = await store.crons.list();
  assert.equal(record?.last?.outcome, 'error');
  assert.equal(record?.last?.error, 'no data');
  await crons.drain();
  assert.equal(keeper.invoked.left, 0);
});

test('a run that found no room is tried again under the same id', async (t) => {
  const { crons, registry, clock, keeper, watched, store } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  clock.advance(MINUTE);
  const first = await keeper.invoked.next();
  first.fail(new HearthError('NO_CAPACITY', 'full'));
  await settle(store);
  clock.advance(1_000);
  const second = await keeper.invoked.next();
  assert.equal(second.call.invocationId, first.call.invocationId);
  const finished = watched.next('finish');
  second.answer(DONE);
  await finished;
  assert.equal((await store.crons.list())[0]?.last?.outcome, 'ok');
  await crons.drain();
});

test('a tick during a run is skipped and recorded; the run goes on', async (t) => {
  const { crons, registry, clock, keeper, watched, store } = await openCrons(t);
  await deploy(registry, 'report', report({ overlap: 'skip' }));
  await crons.start();
  clock.advance(MINUTE);
  const invoked = await keeper.invoked.next();
  await settle(store);
  const skipped = watched.next('claim');
  clock.advance(MINUTE);
  await skipped;
  const [view] = await crons.list();
  assert.equal(view?.last?.outcome, 'skipped');
  assert.equal(view?.last?.error, 'the run before had not ended');
  assert.equal(view?.running, 1);
  assert.equal(keeper.invoked.left, 0);
  const finished = watched.next('finish');
  invoked.answer(DONE);
  await finished;
  assert.equal((await crons.list())[0]?.last?.outcome, 'ok');
  await crons.drain();
});

test('with overlap queue a tick during a run is run after it', async (t) => {
  const { crons, registry, clock, keeper, store } = await openCrons(t);
  await deploy(registry, 'report', report({ overlap: 'queue', missed: 'skip' }));
  await crons.start();
  clock.advance(MINUTE);
  const first = await keeper.invoked.next();
  await settle(store);
  clock.advance(3 * MINUTE);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  let invoked = first;
  for (const minute of [2, 3, 4]) {
    invoked.answer(DONE);
    invoked = await keeper.invoked.next();
    assert.equal(invoked.call.trigger === 'cron' && invoked.call.scheduledTime, START_MS + minute * MINUTE);
  }
  invoked.answer(DONE);
  await crons.drain();
});

test('with overlap allow runs go on beside each other', async (t) => {
  const { crons, registry, clock, keeper, store } = await openCrons(t);
  await deploy(registry, 'report', report({ overlap: 'allow' }));
  await crons.start();
  clock.advance(MINUTE);
  const first = await keeper.invoked.next();
  await settle(store);
  clock.advance(MINUTE);
  const second = await keeper.invoked.next();
  assert.notEqual(first.call.invocationId, second.call.invocationId);
  first.answer(DONE);
  second.answer(DONE);
  await crons.drain();
});

test('a restart fires what was missed: once, each, or not at all', async (t) => {
  const { crons, again, registry, clock, keeper } = await openCrons(t);
  await deploy(registry, 'once', report({ missed: 'once' }));
  await deploy(registry, 'all', report({ missed: 'all' }));
  await deploy(registry, 'skip', report({ missed: 'skip' }));
  await crons.start();
  await crons.drain();
  clock.jump(3 * MINUTE + 30_000);

  const fired: string[] = [];
  keeper.auto = (invoked) => {
    if (invoked.call.trigger === 'cron') {
      fired.push(`${invoked.spec.functionName} ${(invoked.call.scheduledTime - START_MS) / MINUTE}`);
    }
    invoked.answer(DONE);
  };
  const restarted = again();
  await restarted.start();
  for (let runs = 0; runs < 4; runs++) await keeper.invoked.next();
  await restarted.drain();
  assert.deepEqual(fired.sort(), ['all 1', 'all 2', 'all 3', 'once 1']);
  for (const view of await restarted.list()) assert.equal(view.nextAt, START_MS + 4 * MINUTE);
  const skip = (await restarted.list()).find((view) => view.function === 'skip');
  assert.equal(skip?.last?.outcome, 'skipped');
  assert.equal(skip?.last?.error, 'missed');
});

test('a run that the end of the gateway cut off is run again with its id', async (t) => {
  const { crons, again, registry, clock, keeper, watched } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  clock.advance(MINUTE);
  const cutOff = await keeper.invoked.next();
  // The first scheduler is left as a killed process leaves it.
  const restarted = again();
  await restarted.start();
  const repeated = await keeper.invoked.next();
  assert.equal(repeated.call.invocationId, cutOff.call.invocationId);
  assert.equal(repeated.call.trigger === 'cron' && repeated.call.scheduledTime, START_MS + MINUTE);
  const finished = watched.next('finish');
  repeated.answer(DONE);
  await finished;
  assert.equal((await restarted.list())[0]?.last?.outcome, 'ok');
  cutOff.answer(DONE);
  await crons.drain();
  await restarted.drain();
});

test('a paused cron does not fire, and ticks of that time are not made up for', async (t) => {
  const { crons, again, registry, clock, keeper, store } = await openCrons(t);
  await deploy(registry, 'report', report({ missed: 'all' }));
  await crons.start();
  const id = (await crons.list())[0]?.id ?? '';
  assert.deepEqual(await crons.setPaused(id, true).then(({ paused, nextAt }) => [paused, nextAt]), [true, null]);
  clock.advance(10 * MINUTE);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  await crons.drain();

  const restarted = again();
  await restarted.start();
  assert.equal((await restarted.list())[0]?.paused, true);
  const resumed = await restarted.setPaused(id, false);
  assert.equal(resumed.nextAt, START_MS + 11 * MINUTE);
  clock.advance(MINUTE);
  (await keeper.invoked.next()).answer(DONE);
  await restarted.drain();
  assert.equal(keeper.invoked.left, 0);
  assert.equal((await rejection(restarted.setPaused('no-such', true))).code, 'NOT_FOUND');
});

test('a deploy that drops, keeps and adds crons leaves the kept one its due time and pause', async (t) => {
  const { crons, registry, clock, watched } = await openCrons(t);
  await deploy(registry, 'report', report({}, ['0 * * * *', '30 * * * *']));
  await crons.start();
  const kept = (await crons.list()).find(({ expression }) => expression === '30 * * * *');
  assert.ok(kept);
  await crons.setPaused(kept.id, true);
  clock.jump(MINUTE);
  const replaced = watched.next('replace');
  await deploy(registry, 'report', report({ timezone: 'Asia/Kolkata' }, ['30 * * * *', '*/5 * * * *']));
  await replaced;
  const views = await crons.list();
  assert.deepEqual(
    views.map(({ expression, paused, timezone }) => [expression, paused, timezone]),
    [
      ['*/5 * * * *', false, 'Asia/Kolkata'],
      ['30 * * * *', true, 'Asia/Kolkata'],
    ],
  );
  const gone = watched.next('replace');
  await deploy(registry, 'report', { ...report(), hearth: { publish: false } });
  await gone;
  assert.deepEqual(await crons.list(), []);
  await crons.drain();
});

test('the crons of a deleted function are gone', async (t) => {
  const { crons, registry, clock, keeper, store, watched } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  const gone = watched.next('replace');
  await registry.deleteFunction('report');
  await gone;
  assert.deepEqual(await crons.list(), []);
  assert.deepEqual(await store.crons.list(), []);
  clock.advance(5 * MINUTE);
  await crons.drain();
  assert.equal(keeper.invoked.left, 0);
});

test('weekdays of a wrangler file fire by their expression and are named as they were written', async (t) => {
  const { crons, registry, clock, keeper } = await openCrons(t);
  const { parseManifest } = await import('../../../functions/contract/manifest-file.ts');
  const manifest = parseManifest('{"triggers": {"crons": ["0 0 * * 6"]}}', 'wrangler.json', 'report');
  const artifact = { code: Buffer.from(''), sourceMap: null, files: [], codeCache: null };
  const shared = { functionName: 'report', version: 'w1', format: 'cjs', handlers: [], sizeBytes: 0 } as const;
  const record = { ...shared, handlers: [], manifest, provided: [], createdAt: 0 };
  await registry.addVersion(record, artifact, true);
  await crons.start();
  // 6 is Friday in a wrangler file; the clock stands on Thursday.
  assert.equal((await crons.list())[0]?.nextAt, START_MS + 24 * 60 * MINUTE);
  assert.equal((await crons.list())[0]?.expression, '0 0 * * 6');
  clock.advance(24 * 60 * MINUTE);
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.call.trigger === 'cron' && invoked.call.cron, '0 0 * * 6');
  invoked.answer(DONE);
  await crons.drain();
});

test('a drain waits for the run in flight and fires nothing more', async (t) => {
  const { crons, registry, clock, keeper, store } = await openCrons(t);
  await deploy(registry, 'report', report({ overlap: 'allow' }));
  await crons.start();
  clock.advance(MINUTE);
  const invoked = await keeper.invoked.next();
  const drained = crons.drain();
  clock.advance(5 * MINUTE);
  invoked.answer(DONE);
  await drained;
  assert.equal(keeper.invoked.left, 0);
  assert.equal(clock.timers, 0);
  assert.equal((await store.crons.list())[0]?.last?.outcome, 'ok');
});

test('a run waiting for another try at the drain is left for the next start', async (t) => {
  const { crons, again, registry, clock, keeper, store } = await openCrons(t);
  await deploy(registry, 'report', report());
  await crons.start();
  clock.advance(MINUTE);
  const first = await keeper.invoked.next();
  first.fail(new HearthError('OVERLOADED', 'busy'));
  await settle(store);
  await crons.drain();
  assert.equal((await store.crons.list())[0]?.last?.outcome, 'running');
  const restarted = again();
  await restarted.start();
  const second = await keeper.invoked.next();
  assert.equal(second.call.invocationId, first.call.invocationId);
  second.answer(DONE);
  await restarted.drain();
  assert.equal((await store.crons.list())[0]?.last?.outcome, 'ok');
});

test('when the store fails a tick is not lost: it is claimed later', async (t) => {
  const { registry, clock, keeper, store, dispatcher, newId } = await openCrons(t);
  await deploy(registry, 'report', report());
  let failures = 1;
  const failing: CronStore = {
    ...store.crons,
    claim: (...args) => {
      failures -= 1;
      if (failures >= 0) return Promise.reject(new HearthError('NO_CAPACITY', 'The disk is full.'));
      return store.crons.claim(...args);
    },
  };
  const crons = createCrons({
    store: failing,
    registry,
    dispatcher,
    keeper,
    changes: store.changes,
    owner: 'gateway',
    now: clock.now,
    timers: clock,
    newId,
    log: SILENT,
  });
  await crons.start();
  clock.advance(MINUTE);
  await settle(store);
  clock.advance(5_000);
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.call.trigger === 'cron' && invoked.call.scheduledTime, START_MS + MINUTE);
  invoked.answer(DONE);
  await crons.drain();
});
