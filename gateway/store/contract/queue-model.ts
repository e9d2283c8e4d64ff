/**
 * A queue as it has to be, in the simplest words: a list of messages and a map of ids. Each command of a case is done to
 * the store and to this, and every answer has to be the same. Known to no store: both are run against it.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ClaimedMessage, DeadMessage, QueueStore, Settlement } from '../api/queues.ts';
import { DAY, NOW } from './harness.ts';

/** Indices are taken modulo what there is. */
export type QueueCommand =
  | { do: 'enqueue'; messages: { id: number | null; delayS: number }[] }
  | { do: 'claim'; dead: boolean; most: number; leaseMs: number; owner: number }
  | { do: 'extend'; owner: number; leaseMs: number }
  | { do: 'settle'; owner: number; verdicts: { which: number; verdict: Settlement['verdict']; dueMs: number }[] }
  | { do: 'crash'; owner: number }
  | { do: 'clock'; ms: number }
  | { do: 'purge'; dead: boolean }
  | { do: 'redrive'; dead: boolean; ids: number[] | 'all' }
  | { do: 'rename'; grave: number }
  | { do: 'look' };

const index = fc.nat({ max: 1000 });
const owner = fc.nat({ max: 2 });
const leaseMs = fc.constantFrom(1, 50, 10_000);
const mostlyNot = fc.nat({ max: 2 }).map((n) => n === 2);

const command: fc.Arbitrary<QueueCommand> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('enqueue' as const),
      messages: fc.array(
        fc.record({
          id: fc.option(fc.nat({ max: 5 })),
          delayS: fc.constantFrom(0, 0, 0, 0.02, 5, 86_400),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      dead: mostlyNot,
      most: fc.nat({ max: 5 }),
      leaseMs,
      owner,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('extend' as const), owner, leaseMs }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      owner,
      verdicts: fc.array(
        fc.record({
          which: index,
          verdict: fc.constantFrom(
            'ack' as const,
            'retry' as const,
            'retry' as const,
            'dead' as const,
            'dead' as const,
          ),
          dueMs: fc.constantFrom(0, 0, 30, 60_000),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), owner }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('clock' as const),
      ms: fc.constantFrom(1, 20, 50, 10_000, -5, -7_000, DAY),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const), dead: mostlyNot }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('redrive' as const),
      dead: mostlyNot,
      ids: fc.oneof(fc.constant('all' as const), fc.array(index, { maxLength: 3 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rename' as const), grave: fc.nat({ max: 1 }) }) },
  { weight: 3, arbitrary: fc.constant({ do: 'look' as const }) },
);

export const queueCase = fc.array(command, { minLength: 5, maxLength: 40, size: 'max' });

interface Message {
  seq: number;
  queue: string;
  id: string;
  delayS: number;
  acceptedAt: number;
  leased: boolean;
  dueAt: number;
  attempts: number;
  fence: number;
  kills: number | null;
  failures: DeadMessage['failures'];
  death: { source: string; at: number; attempts: number; reason: string; failures: DeadMessage['failures'] } | null;
}

type Held = Pick<ClaimedMessage, 'id' | 'fence'> & { queue: string };

/** `unique`: no other case on this store has it; small letters and digits. */
export async function runQueueCase(
  store: QueueStore,
  commands: readonly QueueCommand[],
  unique: string,
): Promise<void> {
  const run = new Run(store, unique);
  for (const each of commands) await run.step(each);
  await run.step({ do: 'look' });
  for (const queue of run.queues) await store.delete(queue);
}

class Run {
  private readonly store: QueueStore;
  private readonly queue: string;
  private nowMs = NOW;
  private made = 0;
  private lastFence = 0;
  private messages: Message[] = [];
  private readonly seen = new Map<string, number>();
  /** What each consumer believes to hold, also what it has lost meanwhile. */
  private readonly held: Held[][] = [[], [], []];
  private grave: string;
  readonly queues: string[];

  constructor(store: QueueStore, unique: string) {
    this.store = store;
    this.queue = unique;
    this.grave = `${unique}.dead`;
    this.queues = [unique, this.grave, `${unique}-grave`, `${this.grave}.dead`, `${unique}-grave.dead`];
  }

  async step(command: QueueCommand): Promise<void> {
    switch (command.do) {
      case 'enqueue':
        return this.enqueue(command.messages);
      case 'claim':
        return this.claim(command.dead ? this.grave : this.queue, command);
      case 'extend':
        return this.extend(this.heldBy(command.owner), command.leaseMs);
      case 'settle':
        return this.settle(this.heldBy(command.owner), command.verdicts);
      case 'crash':
        this.heldBy(command.owner).length = 0;
        return;
      case 'clock':
        this.nowMs += command.ms;
        return;
      case 'purge': {
        const queue = command.dead ? this.grave : this.queue;
        const before = this.messages.length;
        this.messages = this.messages.filter((message) => message.queue !== queue);
        assert.equal(await this.store.purge(queue), before - this.messages.length);
        return;
      }
      case 'redrive':
        return this.redrive(command.dead ? this.grave : this.queue, command.ids);
      case 'rename': {
        const [, first = '', second = ''] = this.queues;
        this.grave = command.grave === 0 ? first : second;
        const settings = await this.store.get(this.queue);
        if (settings === null) return this.rename(`${this.queue}.dead`);
        return this.store.put(this.queue, { ...settings, deadLetterQueue: this.grave });
      }
      case 'look':
        for (const queue of [this.queue, this.grave]) await this.look(queue);
        return;
      default:
        command satisfies never;
    }
  }

  /** There is no queue yet whose settings could be changed. */
  private rename(grave: string): void {
    this.grave = grave;
  }

  private heldBy(owner: number): Held[] {
    return this.held[owner] as Held[];
  }

  private async enqueue(given: { id: number | null; delayS: number }[]): Promise<void> {
    const messages = given.map(({ id, delayS }) => ({
      id: id === null ? `made-${++this.made}` : `given-${id}`,
      generatedId: id === null,
      body: Buffer.from(`body ${this.made}`),
      contentType: 'text' as const,
      delayS,
      traceparent: null,
      hops: 0,
    }));
    const duplicates: string[] = [];
    for (const { id, generatedId, delayS } of messages) {
      const at = this.seen.get(id);
      if (!generatedId && at !== undefined && at > this.nowMs - DAY) {
        duplicates.push(id);
        continue;
      }
      if (!generatedId) this.seen.set(id, this.nowMs);
      this.messages.push({
        seq: ++this.made,
        queue: this.queue,
        ...{ id, delayS, acceptedAt: this.nowMs, leased: false, dueAt: this.nowMs + delayS * 1000 },
        ...{ attempts: 0, fence: 0, kills: null, failures: [], death: null },
      });
    }
    // What was a day old then may be forgotten, also where the clock is set back afterwards.
    if (messages.some(({ generatedId }) => !generatedId)) {
      for (const [id, at] of this.seen) if (at <= this.nowMs - DAY) this.seen.delete(id);
    }
    const answer = await this.store.enqueue(this.queue, messages, this.nowMs);
    assert.deepEqual(answer, { ids: messages.map(({ id }) => id), duplicates });
  }

  private in(queue: string): Message[] {
    return this.messages.filter((message) => message.queue === queue);
  }

  private async claim(queue: string, options: { most: number; leaseMs: number; owner: number }): Promise<void> {
    const due = (leased: boolean) =>
      this.in(queue)
        .filter((message) => message.leased === leased && message.dueAt <= this.nowMs)
        .sort((a, b) => a.dueAt - b.dueAt || a.seq - b.seq);
    const expected = [...due(true), ...due(false)].slice(0, options.most);
    const leaseUntil = this.nowMs + options.leaseMs;
    const claimed = await this.store.claim(queue, {
      most: options.most,
      nowMs: this.nowMs,
      leaseUntil,
      owner: `owner-${options.owner}`,
    });
    assert.deepEqual(
      claimed.map(({ id, timestamp, attempts, delayS, kills }) => [id, timestamp, attempts, delayS, kills]),
      expected.map(({ id, acceptedAt, attempts, delayS, kills }) => [id, acceptedAt, attempts + 1, delayS, kills]),
    );
    for (const [i, message] of expected.entries()) {
      const fence = claimed[i]?.fence ?? -1;
      assert.ok(fence > this.lastFence, 'fences rise');
      this.lastFence = fence;
      Object.assign(message, { leased: true, dueAt: leaseUntil, attempts: message.attempts + 1, fence });
      this.heldBy(options.owner).push({ queue, id: message.id, fence });
    }
  }

  private find({ queue, id, fence }: Held): Message | undefined {
    return this.messages.find((message) => {
      return message.queue === queue && message.id === id && message.fence === fence && message.leased;
    });
  }

  private async extend(held: Held[], leaseMs: number): Promise<void> {
    const leaseUntil = this.nowMs + leaseMs;
    for (const queue of new Set(held.map((each) => each.queue))) {
      const mine = held.filter((each) => each.queue === queue);
      const kept = mine.filter((each) => this.find(each) !== undefined);
      assert.deepEqual(
        await this.store.extend(queue, mine, leaseUntil),
        kept.map(({ id }) => id),
      );
      for (const each of kept) Object.assign(this.find(each) ?? {}, { dueAt: leaseUntil });
    }
  }

  private async settle(
    held: Held[],
    verdicts: { which: number; verdict: Settlement['verdict']; dueMs: number }[],
  ): Promise<void> {
    const chosen = new Map<Held, (typeof verdicts)[number]>();
    for (const each of verdicts) {
      const one = held[each.which % Math.max(1, held.length)];
      if (one !== undefined) chosen.set(one, each);
    }
    for (const queue of new Set([...chosen.keys()].map((one) => one.queue))) {
      const mine = [...chosen].filter(([one]) => one.queue === queue);
      const refused = mine.filter(([one]) => this.find(one) === undefined).map(([{ id }]) => id);
      const settlements = mine.map(([one, each]) => this.decided(one, each));
      assert.deepEqual(await this.store.settle(queue, settlements, this.nowMs), { refused });
    }
  }

  /** To the model at once; what the store is to be told. */
  private decided(
    one: Held,
    { which, verdict, dueMs }: { which: number; verdict: Settlement['verdict']; dueMs: number },
  ): Settlement {
    const { id, fence } = one;
    const message = this.find(one);
    const at = this.nowMs;
    switch (verdict) {
      case 'ack':
        this.messages = this.messages.filter((other) => other !== message);
        return { id, fence, verdict };
      case 'retry': {
        const countAttempt = which % 3 !== 0;
        const reason = which % 5 === 0 ? null : `failure ${which}`;
        const kills = which % 2 === 0 ? which % 3 : null;
        const dueAt = at + dueMs;
        if (message !== undefined) {
          Object.assign(message, { leased: false, dueAt, kills, attempts: message.attempts - (countAttempt ? 0 : 1) });
          if (reason !== null) message.failures.push({ at, reason });
        }
        return { id, fence, verdict, dueAt, countAttempt, reason, kills };
      }
      case 'dead': {
        const reason = `death ${which}`;
        if (message !== undefined) {
          const { queue: source, attempts, failures } = message;
          const death = { source, at, attempts, reason, failures: [...failures, { at, reason }] };
          const queue = source === this.queue ? this.grave : `${source}.dead`;
          Object.assign(message, { queue, death, leased: false, dueAt: at, attempts: 0, kills: null, failures: [] });
        }
        return { id, fence, verdict, reason };
      }
    }
  }

  private lettersOf(source: string): Message[] {
    return this.messages
      .filter(({ death }) => death?.source === source)
      .sort((a, b) => (a.death?.at ?? 0) - (b.death?.at ?? 0) || a.seq - b.seq);
  }

  private async redrive(source: string, which: number[] | 'all'): Promise<void> {
    const letters = this.lettersOf(source);
    const ids = which === 'all' ? 'all' : which.map((n) => letters[n % Math.max(1, letters.length)]?.id ?? 'nobody');
    const revived = letters.filter(({ id, leased, dueAt }) => {
      return (ids === 'all' || ids.includes(id)) && (!leased || dueAt <= this.nowMs);
    });
    assert.equal(await this.store.redrive(source, ids, this.nowMs), revived.length);
    for (const message of revived) {
      Object.assign(message, {
        queue: source,
        death: null,
        leased: false,
        dueAt: this.nowMs,
        attempts: 0,
        kills: null,
        failures: [],
      });
    }
  }

  private async look(queue: string): Promise<void> {
    const { nowMs } = this;
    const all = this.in(queue);
    const times = (pick: (message: Message) => number) => (all.length === 0 ? null : Math.min(...all.map(pick)));
    const letters = this.lettersOf(queue);
    assert.deepEqual(await this.store.stats(queue, nowMs), {
      depth: all.length,
      delayed: all.filter(({ leased, dueAt }) => !leased && dueAt > nowMs).length,
      inFlight: all.filter(({ leased, dueAt }) => leased && dueAt > nowMs).length,
      oldestAt: times(({ acceptedAt }) => acceptedAt),
      dead: letters.length,
    });
    assert.equal(
      await this.store.nextDue(queue),
      times(({ dueAt }) => dueAt),
    );
    const found: DeadMessage[] = [];
    for (let cursor: string | null = null; ; ) {
      const page = await this.store.dead(queue, { most: 2, cursor });
      found.push(...page.messages);
      cursor = page.cursor;
      if (cursor === null) break;
    }
    assert.deepEqual(
      found.map(({ body: _body, contentType: _type, ...rest }) => rest),
      letters.map(({ id, acceptedAt: timestamp, death }) => ({
        ...{ id, timestamp, attempts: death?.attempts, diedAt: death?.at, source: queue },
        ...{ reason: death?.reason, failures: death?.failures },
      })),
    );
  }
}
