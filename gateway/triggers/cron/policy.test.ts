import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CronClaim, CronRecord } from '../../store/api/crons.ts';
import { IN_TIME_MS } from './plan.ts';
import { type Gateway, openMemoryCrons, type Settings, World } from './testing/world.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A clock that was set is noticed within. */
const NOTICED_MS = 4 * SECOND;
const SEED = 20_261_120;

/** What happens to a gateway with a cron of every minute. */
type Event =
  | { does: 'time passes'; ms: number }
  | { does: 'minutes pass'; count: number }
  | { does: 'the clock is set'; by: number }
  | { does: 'killed'; downMs: number }
  | { does: 'drained'; downMs: number }
  | { does: 'paused' | 'resumed' | 'deployed' | 'a run ends' | 'all runs end' | 'runs end at once' | 'runs last' };

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ does: fc.constant('minutes pass' as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant('time passes' as const), ms: fc.integer({ min: 1, max: 90 * SECOND }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('the clock is set' as const),
      by: fc.constantFrom(HOUR, -HOUR, DAY, -DAY, 10 * SECOND, -10 * SECOND, 7 * MINUTE, -7 * MINUTE),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constantFrom('killed' as const, 'drained' as const),
      downMs: fc.constantFrom(0, 2 * SECOND, 90 * SECOND, 10 * MINUTE),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constantFrom(
        ...(['paused', 'resumed', 'deployed', 'a run ends', 'all runs end', 'runs end at once', 'runs last'] as const),
      ),
    }),
  },
);

const story = fc.record({
  missed: fc.constantFrom('skip', 'once', 'all'),
  overlap: fc.constantFrom('skip', 'allow', 'queue'),
  events: fc.array(event, { minLength: 3, maxLength: 25 }),
});

const nextMinute = (ms: number) => Math.floor(ms / MINUTE) * MINUTE + MINUTE;

/** What the two settings mean, said of each claim that the store has granted, and of what is left to be claimed. */
class Policy {
  readonly running = new Map<string, { dueAt: number; attempt: number }>();
  /** Due times before it have had their turn. */
  #until = 0;
  readonly #settings: Settings;
  readonly #now: () => number;

  constructor(settings: Settings, now: () => number) {
    this.#settings = settings;
    this.#now = now;
  }

  claimed({ dueAt, nextAt, startedAt: now, skipped, invocationId }: CronClaim): void {
    const { missed, overlap } = this.#settings;
    assert.ok(now <= this.#now());
    const lateMs = now - dueAt;
    assert.equal(dueAt % MINUTE, 0, 'it is due on the minute');
    assert.ok(lateMs >= 0, 'nothing comes early');
    assert.ok(dueAt >= this.#until, 'no due time comes back');
    assert.ok(nextAt !== null && nextAt > dueAt);
    this.#until = nextAt;

    const others = (nextAt - dueAt) / MINUTE - 1;
    const each = missed === 'all' || overlap === 'queue';
    if (others > 0) {
      assert.equal(nextAt, nextMinute(now), 'what has passed is passed over, and nothing of what is to come');
      const bounded = skipped?.startsWith('more than 100') === true;
      const running = skipped === 'the run before had not ended';
      assert.ok(missed !== 'all' || bounded || running, 'each one is run');
    }
    switch (skipped) {
      case null:
        assert.ok(missed !== 'skip' || lateMs <= IN_TIME_MS || each, 'what was missed is not run');
        assert.ok(overlap === 'allow' || this.running.size === 0, 'runs do not overlap');
        this.running.set(invocationId, { dueAt, attempt: 1 });
        break;
      case 'missed':
        assert.equal(missed, 'skip');
        assert.ok(lateMs > IN_TIME_MS, 'it was not missed');
        break;
      case 'the run before had not ended':
        assert.equal(overlap, 'skip');
        assert.ok(this.running.size > 0, 'no run was under way');
        break;
      default:
        assert.match(skipped, /^more than 100/);
        assert.ok(each);
    }
  }

  takenOver({ invocationId, dueAt, attempt }: { invocationId: string; dueAt: number; attempt: number }): void {
    const run = this.running.get(invocationId);
    assert.ok(run !== undefined, 'only what had not ended is run again');
    assert.equal(dueAt, run.dueAt);
    assert.equal(attempt, run.attempt + 1);
    run.attempt = attempt;
  }

  ended(invocationId: string, accepted: boolean): void {
    assert.equal(accepted, this.running.delete(invocationId), 'what was begun ends once');
  }

  /** A gateway is there and has come to rest. */
  rests({ paused, nextAt, running }: CronRecord): void {
    assert.equal(running, this.running.size);
    if (paused) assert.equal(nextAt, null);
    else {
      assert.ok(nextAt !== null && nextAt >= this.#until, 'a due time that had its turn is not due again');
      const waits = running > 0 && this.#settings.overlap !== 'allow';
      assert.ok(nextAt > this.#now() || waits, 'what is due has its turn');
    }
  }
}

/** How many claims of each kind there were: that a property holds says nothing where nothing happens. */
type Seen = Record<'run' | 'skipped' | 'again' | 'late', number>;

async function live({ events, ...settings }: Settings & { events: Event[] }, seen: Seen): Promise<void> {
  const { store, database } = openMemoryCrons();
  const policy = new Policy(settings, () => world.now());
  const problems: unknown[] = [];
  const noted = (check: () => void) => {
    try {
      check();
    } catch (error) {
      problems.push(error);
    }
  };
  const world: World = new World(store, ['* * * * *'], settings, {
    claimed(claim) {
      seen[claim.skipped === null ? 'run' : 'skipped'] += 1;
      if (claim.startedAt - claim.dueAt > IN_TIME_MS) seen.late += 1;
      noted(() => policy.claimed(claim));
    },
    takenOver(run) {
      seen.again += 1;
      noted(() => policy.takenOver(run));
    },
    ended: (id, accepted) => noted(() => policy.ended(id, accepted)),
  });
  let gateway: Gateway = await world.start('gateway');
  const id = (await store.list())[0]?.id ?? '';

  async function happens(event: Event): Promise<void> {
    switch (event.does) {
      case 'time passes':
        return world.pass(event.ms);
      case 'minutes pass':
        for (let i = 0; i < event.count; i++) await world.pass(nextMinute(world.now()) - world.now());
        return;
      case 'the clock is set':
        world.clockMs += event.by;
        return world.pass(NOTICED_MS);
      case 'killed':
        gateway.kill();
        world.calls.length = 0;
        await world.pass(event.downMs);
        gateway = await world.start('gateway');
        return;
      case 'drained': {
        const drained = gateway.crons.drain();
        world.endAll();
        await drained;
        await world.pass(event.downMs);
        gateway = await world.start('gateway');
        return;
      }
      case 'paused':
      case 'resumed': {
        const { nextAt } = await gateway.crons.setPaused(id, event.does === 'paused');
        noted(() => assert.ok(nextAt === null || nextAt > world.now() || event.does === 'resumed'));
        return world.settle();
      }
      case 'deployed':
        return world.deploy();
      case 'a run ends':
        world.calls[0]?.end();
        return world.settle();
      case 'all runs end':
        world.endAll();
        return world.settle();
      case 'runs end at once':
        world.auto = true;
        world.endAll();
        return world.settle();
      case 'runs last':
        world.auto = false;
        return;
      default:
        event satisfies never;
    }
  }

  try {
    for (const event of events) {
      await happens(event);
      const [record] = await store.list();
      assert.ok(record !== undefined);
      noted(() => policy.rests(record));
      if (problems.length > 0) throw problems[0];
    }
    // In the end everything that was begun has ended.
    world.auto = true;
    world.endAll();
    await gateway.crons.drain();
    if (problems.length > 0) throw problems[0];
    assert.equal(policy.running.size, 0);
  } finally {
    gateway.kill();
    database.close();
  }
}

test('whatever happens to clock and gateway, each due time has its turn once, as missed and overlap say', async () => {
  const seen: Seen = { run: 0, skipped: 0, again: 0, late: 0 };
  await fc.assert(
    fc.asyncProperty(story, (told) => live(told, seen)),
    { numRuns: 600, seed: SEED },
  );
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 100, `${what}: ${count}`);
});
