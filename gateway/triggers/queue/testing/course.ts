/**
 * Consumers of one queue over one store, on a clock moved by hand: gateways that come, die and stand still, and messages
 * of several natures. What happens to each message is kept, and what must never be is looked at as it goes.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HearthError } from '../../../../functions/contract/errors.ts';
import type { LeaseStore } from '../../../store/api/leases.ts';
import {
  type ClaimedMessage,
  defaultQueueSettings,
  type QueueSettings,
  type QueueStore,
} from '../../../store/api/queues.ts';
import type { Store } from '../../../store/store.ts';
import { ManualClock, SILENT, START_MS } from '../../testing/harness.ts';
import { LEASE_MS, QueueConsumer } from '../consumer.ts';
import { settleByVerdicts } from '../plan.ts';
import { createSlots } from '../slots.ts';

/** good: acked. bad: its handler asks for a retry. poison: its base dies. slow: its batch times out. */
const NATURES = ['good', 'bad', 'poison', 'slow'] as const;
type Nature = (typeof NATURES)[number];

export type CourseStep =
  | { do: 'enqueue'; natures: Nature[]; delayS: number }
  | { do: 'answer'; which: number; how: 'by nature' | 'no room' | 'late' }
  | { do: 'clock'; ms: number }
  | { do: 'pause'; paused: boolean }
  /** Killed, or stopped by SIGSTOP: whoever it called goes on and may answer. */
  | { do: 'die'; which: number }
  | { do: 'redrive' };

const settings = fc.record({
  maxBatchSize: fc.integer({ min: 1, max: 4 }),
  maxBatchTimeoutS: fc.constantFrom(0, 0, 5),
  maxRetries: fc.integer({ min: 0, max: 4 }),
  maxConcurrency: fc.integer({ min: 1, max: 3 }),
});

const step: fc.Arbitrary<CourseStep> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('enqueue' as const),
      natures: fc.array(fc.constantFrom<Nature>('good', 'good', 'good', ...NATURES), { minLength: 1, maxLength: 5 }),
      delayS: fc.constantFrom(0, 0, 0, 7),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      which: fc.nat({ max: 20 }),
      how: fc.constantFrom('by nature', 'by nature', 'by nature', 'no room', 'late'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('clock' as const), ms: fc.constantFrom(100, 1_000, 5_000, 15_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pause' as const), paused: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), which: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'redrive' as const }) },
);

export const queueCourse = fc.record({
  gateways: fc.integer({ min: 1, max: 2 }),
  settings,
  steps: fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
});

interface Delivery {
  gateway: Gateway;
  messages: ClaimedMessage[];
  end: PromiseWithResolvers<void>;
}

interface Gateway {
  consumer: QueueConsumer;
  clock: ManualClock;
  dead: boolean;
}

export async function runQueueCourse(
  { queues, leases }: Pick<Store, 'queues' | 'leases'>,
  course: { gateways: number; settings: Partial<QueueSettings>; steps: readonly CourseStep[] },
  queue: string,
): Promise<void> {
  const run = new Course(queues, leases, queue, { ...defaultQueueSettings(queue), ...course.settings });
  await run.begin(course.gateways);
  for (const each of course.steps) await run.step(each);
  await run.end();
}

class Course {
  private readonly queue: string;
  private readonly store: QueueStore;
  private readonly leases: LeaseStore;
  private readonly settings: QueueSettings;
  private readonly clock = new ManualClock(START_MS);
  private readonly natures = new Map<string, Nature>();
  private readonly acked = new Set<string>();
  private readonly deliveries: Delivery[] = [];
  private gateways: Gateway[] = [];
  private made = 0;
  private deaths = 0;
  /** Times a poison took down its base, by id, since it was last put back. */
  private readonly kills = new Map<string, number>();

  constructor(store: QueueStore, leases: LeaseStore, queue: string, settings: QueueSettings) {
    this.leases = leases;
    this.queue = queue;
    this.settings = settings;
    this.store = {
      ...store,
      settle: async (name, settlements, nowMs) => {
        const answer = await store.settle(name, settlements, nowMs);
        for (const { id, verdict } of settlements) {
          if (verdict !== 'ack' || answer.refused.includes(id)) continue;
          assert.ok(!this.acked.has(id), `${id} is acknowledged once`);
          this.acked.add(id);
        }
        return answer;
      },
    };
  }

  async begin(gateways: number): Promise<void> {
    await this.store.put(this.queue, this.settings);
    for (let n = 0; n < gateways; n++) this.gateways.push(this.gateway());
  }

  private gateway(): Gateway {
    const clock = new ManualClock(this.clock.nowMs);
    const owner = `gateway-${++this.made}`;
    const { leases, queue } = this;
    const gateway: Gateway = {
      clock,
      dead: false,
      consumer: new QueueConsumer(this.queue, {
        store: this.store,
        receiver: {
          functionName: () => 'shop',
          limits: () => ({ concurrency: 8, maxInstances: 1 }),
          deliver: (messages) => this.deliver(gateway, messages),
        },
        settings: () => this.settings,
        died: () => undefined,
        now: clock.now,
        timers: clock,
        random: () => 0.5,
        log: SILENT,
        owner,
        slots: createSlots({ queue, leases, owner, now: clock.now, leaseMs: LEASE_MS }),
      }),
    };
    gateway.consumer.wake();
    return gateway;
  }

  private async deliver(gateway: Gateway, messages: ClaimedMessage[]) {
    const alive = this.deliveries.filter((other) => !other.gateway.dead);
    const beside = this.deliveries.filter((other) => other.gateway === gateway);
    assert.ok(messages.length <= this.settings.maxBatchSize);
    assert.ok(
      gateway.dead || alive.length < (this.settings.maxConcurrency ?? 8),
      'over all gateways that are heard of',
    );
    assert.ok(!this.settings.paused || gateway.dead);
    const suspects = [messages, ...beside.map((other) => other.messages)]
      .flat()
      .filter(({ kills }) => (kills ?? 0) > 0);
    assert.ok(suspects.length === 0 || (beside.length === 0 && messages.length === 1), 'a suspect is delivered alone');
    if (!gateway.dead) {
      for (const other of this.deliveries) {
        if (other.gateway.dead) continue;
        for (const { id } of other.messages)
          assert.ok(!messages.some((mine) => mine.id === id), `${id} is delivered twice`);
      }
    }
    const delivery = { gateway, messages, end: Promise.withResolvers<void>() };
    this.deliveries.push(delivery);
    try {
      await delivery.end.promise;
    } finally {
      this.deliveries.splice(this.deliveries.indexOf(delivery), 1);
    }
    const verdicts = messages.map(({ id }) =>
      this.natures.get(id) === 'bad'
        ? { id, verdict: 'retry' as const, delayS: null }
        : { id, verdict: 'ack' as const },
    );
    const result = { kind: 'queue-result' as const, verdicts, error: null, waiting: false, calledAt: 0 };
    return settleByVerdicts(messages, result, this.settings, gateway.clock.nowMs, () => 0.5);
  }

  async step(command: CourseStep): Promise<void> {
    switch (command.do) {
      case 'enqueue':
        await this.enqueue(command.natures, command.delayS);
        break;
      case 'answer':
        this.answer(this.deliveries[command.which % Math.max(1, this.deliveries.length)], command.how);
        break;
      case 'clock':
        await this.pass(command.ms);
        break;
      case 'pause':
        this.settings.paused = command.paused;
        for (const { consumer } of this.gateways) consumer.wake();
        break;
      case 'die':
        await this.die(command.which);
        break;
      case 'redrive':
        this.kills.clear();
        await this.store.redrive(this.queue, 'all', this.clock.nowMs);
        for (const { consumer } of this.gateways) consumer.wake();
        break;
      default:
        command satisfies never;
    }
    await rest();
  }

  private async enqueue(natures: Nature[], delayS: number): Promise<void> {
    const messages = natures.map((nature) => {
      const id = `${nature}-${++this.made}`;
      this.natures.set(id, nature);
      return { id, body: Buffer.from(nature), contentType: 'text' as const, delayS, traceparent: null, hops: 0 };
    });
    await this.store.enqueue(this.queue, messages, this.clock.nowMs);
    for (const { consumer } of this.gateways) consumer.wake();
  }

  /** What comes of a batch; where its base dies, of all that is in flight beside it. `late`: of a dead gateway's. */
  private answer(delivery: Delivery | undefined, how: 'by nature' | 'no room' | 'late'): void {
    if (delivery === undefined || (delivery.gateway.dead && how !== 'late')) return;
    if (how === 'no room') {
      delivery.end.reject(new HearthError('OVERLOADED', 'busy'));
      return;
    }
    const has = (nature: Nature) => delivery.messages.filter(({ id }) => this.natures.get(id) === nature);
    const poison = has('poison');
    if (poison.length > 0) {
      for (const { id } of poison) this.kills.set(id, (this.kills.get(id) ?? 0) + 1);
      const together = this.deliveries.filter(({ gateway }) => gateway === delivery.gateway);
      for (const { end } of together) end.reject(new HearthError('FUNCTION_CRASHED', 'died'));
    } else if (has('slow').length > 0) {
      delivery.end.reject(new HearthError('FUNCTION_TIMEOUT', 'slow'));
    } else {
      delivery.end.resolve();
    }
  }

  /** As gateways have it: leases are lengthened every three seconds. */
  private async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 3_000) {
      const part = Math.min(left, 3_000);
      this.clock.advance(part);
      for (const { clock } of this.gateways) clock.advance(part);
      await rest();
      await Promise.all(this.gateways.map(({ consumer }) => consumer.extend()));
      await rest();
    }
  }

  private async die(which: number): Promise<void> {
    const gateway = this.gateways[which % this.gateways.length];
    if (gateway === undefined) return;
    this.deaths += 1;
    gateway.dead = true;
    this.gateways = this.gateways.filter((other) => other !== gateway);
    this.gateways.push(this.gateway());
  }

  /** Everything runs to its end, and is told id by id. */
  async end(): Promise<void> {
    this.settings.paused = false;
    for (const { consumer } of this.gateways) consumer.wake();
    for (let rounds = 0; (await this.store.stats(this.queue, this.clock.nowMs)).depth > 0; rounds++) {
      assert.ok(rounds < 400, 'it comes to an end');
      await rest();
      for (const delivery of [...this.deliveries]) this.answer(delivery, delivery.gateway.dead ? 'late' : 'by nature');
      await rest();
      if (this.deliveries.length === 0) await this.pass(3_000);
    }
    const dead: string[] = [];
    for (let cursor: string | null = null; ; ) {
      const page = await this.store.dead(this.queue, { most: 100, cursor });
      for (const { id, failures, reason } of page.messages) {
        dead.push(id);
        assert.ok(failures.length > 0 && failures.at(-1)?.reason === reason);
      }
      cursor = page.cursor;
      if (cursor === null) break;
    }
    for (const delivery of this.deliveries) delivery.end.resolve();
    await Promise.all(this.gateways.map(({ consumer }) => consumer.drain()));
    await rest();
    assert.deepEqual(
      dead.filter((id) => this.acked.has(id)),
      [],
      'dead or acknowledged',
    );
    assert.deepEqual([...this.acked, ...dead].toSorted(), [...this.natures.keys()].toSorted());
    assert.deepEqual(
      dead.filter((id) => id.startsWith('good')),
      [],
      'nobody loses attempts for another',
    );
    assert.deepEqual(
      [...this.acked].filter((id) => !id.startsWith('good')),
      [],
    );
    for (const [id, kills] of this.kills) assert.ok(kills <= 3 + this.deaths, `${id} took down ${kills} bases`);
    for (const queue of [this.queue, this.settings.deadLetterQueue]) await this.store.delete(queue);
  }
}

/** Lets everything come to rest that waits for nothing but itself. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}
