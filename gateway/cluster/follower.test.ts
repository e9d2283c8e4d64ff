import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Changed, Registry } from '../registry/registry.ts';
import type { Change } from '../store/api/changes.ts';
import { ManualClock, SILENT, START_MS } from '../triggers/testing/harness.ts';
import { createFollower, type Follower } from './follower.ts';

interface Rig {
  follower: Follower;
  clock: ManualClock;
  /** As the feed tells them. */
  tell(changes: Change[] | null): void;
  /** What the registry was asked to read, and the other parts. */
  read: string[];
  /** What the store says of each function. */
  revisions: Map<string, string>;
  /** How many readings fail next. */
  failures: { left: number };
  /** The registry says that it has changed this. */
  changed(name: string): void;
}

/** Lets everything that follows come to rest. */
const rest = () => new Promise((resolve) => setImmediate(resolve));

function rigOf(loaded: Record<string, string>, known: string[] = Object.keys(loaded)): Rig {
  const clock = new ManualClock(START_MS);
  const read: string[] = [];
  const revisions = new Map(Object.entries(loaded));
  const failures = { left: 0 };
  let listener: (changes: Change[] | null) => void = () => undefined;
  let onChange: (name: string) => void = () => undefined;
  const reads = async (what: string) => {
    read.push(what);
    if (failures.left === 0) return;
    failures.left -= 1;
    throw new HearthError('NO_CAPACITY', 'The store is away.');
  };
  const registry = {
    functions: () => known.map((name) => ({ record: { name } })),
    async refresh({ functions, publications }: Changed) {
      await reads(`${functions.toSorted().join(' ')}${publications ? ' +publications' : ''}`);
      return [];
    },
    onChange(told: (name: string) => void) {
      onChange = told;
      return () => undefined;
    },
  } as unknown as Pick<Registry, 'functions' | 'refresh' | 'onChange'>;
  const follower = createFollower({
    changes: {
      listen(told) {
        listener = told;
        return () => {
          listener = () => undefined;
        };
      },
      revisions: async () => new Map(revisions),
    },
    loaded: new Map(Object.entries(loaded)),
    registry,
    others: { token: (names) => reads(`tokens ${names?.join(' ') ?? 'all'}`) },
    messages: (queues) => void read.push(`messages ${queues.join(' ')}`),
    timers: clock,
    log: SILENT,
  });
  follower.start();
  return {
    follower,
    clock,
    tell: (changes) => listener(changes),
    read,
    revisions,
    failures,
    changed: (name) => onChange(name),
  };
}

const of = (kind: Change['kind'], ...names: string[]) => names.map((name): Change => ({ kind, name }));

describe('what the feed tells', () => {
  it('is read anew, each once, however often it is told meanwhile', async () => {
    const { tell, read } = rigOf({ shop: '1' });
    tell([...of('function', 'shop', 'cart', 'shop'), ...of('publication', 'window'), ...of('token', 't')]);
    tell(of('function', 'mail', 'shop'));
    tell([...of('messages', 'jobs', 'jobs'), ...of('cron', 'shop')]);
    await rest();
    assert.deepEqual(read.toSorted(), ['cart shop +publications', 'mail shop', 'messages jobs', 'tokens t'].toSorted());
  });

  it('is not lost while the store is away', async () => {
    const { tell, read, failures, clock } = rigOf({ shop: '1' });
    failures.left = 2;
    tell([...of('function', 'shop'), ...of('publication', 'window')]);
    await rest();
    tell(of('function', 'cart'));
    await rest();
    assert.deepEqual(read, ['shop +publications']);
    clock.advance(1000);
    await rest();
    clock.advance(1000);
    await rest();
    assert.deepEqual(read.slice(1), ['cart shop +publications', 'cart shop +publications']);
    clock.advance(10_000);
    await rest();
    assert.equal(read.length, 3);
  });

  it('is not heard after the drain', async () => {
    const { tell, read, follower, clock } = rigOf({ shop: '1' });
    await follower.drain();
    tell(of('function', 'shop'));
    clock.advance(120_000);
    await rest();
    assert.deepEqual(read, []);
  });
});

describe('the comparison of everything', () => {
  it('reads each minute what is of another revision, gone or new, and nothing else of functions', async () => {
    const { read, revisions, clock } = rigOf({ shop: '1', cart: '1', mail: '1' });
    revisions.set('cart', '2').set('fresh', '1').delete('mail');
    clock.advance(59_000);
    await rest();
    assert.deepEqual(read, []);
    clock.advance(1_000);
    await rest();
    assert.deepEqual(read.splice(0), ['messages ', 'tokens all', 'cart fresh mail +publications']);
    clock.advance(60_000);
    await rest();
    // What the store does not have and the registry still does is asked for again.
    assert.deepEqual(read, ['messages ', 'tokens all', 'mail +publications']);
  });

  it('reads after a failover also what was changed here and may be lost, whatever its revision', async () => {
    const { tell, read, changed, revisions } = rigOf({ shop: '1', cart: '1' }, ['shop', 'cart', 'mine']);
    changed('cart');
    revisions.set('cart', '1');
    tell(null);
    await rest();
    assert.deepEqual(read, ['messages ', 'tokens all', 'cart mine +publications']);
  });

  it('is made again until it succeeds', async () => {
    const { tell, read, failures, clock, revisions } = rigOf({ shop: '1' });
    revisions.set('shop', '2');
    failures.left = 2;
    tell(null);
    await rest();
    clock.advance(1_000);
    await rest();
    assert.deepEqual(read.toSorted(), [
      'messages ',
      'shop +publications',
      'shop +publications',
      'tokens all',
      'tokens all',
    ]);
    clock.advance(10_000);
    await rest();
    assert.equal(read.length, 5);
  });
});
