/** A module's calls of its bindings over a real link, with real stores behind: the base says whatever it likes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { BindingCallHead } from '../../../functions/contract/invocation.ts';
import type { ManifestInput } from '../../../functions/contract/manifest.ts';
import type { ModuleSpec } from '../../../pool/keeper/api.ts';
import { connectLink } from '../../../pool/link/connection.ts';
import type { Exchange, ExchangeHandler, Link, LinkError, LinkHandler } from '../../../pool/link/link.ts';
import { createAssetContents } from '../../ingress/assets/contents.ts';
import { createAssetLibrary } from '../../ingress/assets/library.ts';
import { createRates } from '../../rates.ts';
import type { FunctionEntry } from '../../registry/registry.ts';
import { createQueues, type Queues } from '../../triggers/queue/queues.ts';
import { deploy, openRig, type Rig, SILENT } from '../../triggers/testing/harness.ts';
import { createTopics } from '../../triggers/topics.ts';
import { createBindings } from '../bindings.ts';
import { createConfigs } from '../configs.ts';

export const ignore = () => undefined;

/** What came back over the link for one call of a binding. */
export class Answer implements ExchangeHandler {
  readonly headSeen = Promise.withResolvers<unknown>();
  readonly done = Promise.withResolvers<void>();
  headValue: unknown = null;
  error: LinkError | null = null;
  readonly chunks: Buffer[] = [];
  /** Gives credit back as it comes; false holds the other side up. */
  takes = true;
  exchange: Exchange | null = null;
  readonly drained = Promise.withResolvers<void>();

  constructor() {
    this.headSeen.promise.catch(ignore);
  }
  head(head: unknown): void {
    this.headValue = head;
    this.headSeen.resolve(head);
  }
  data(chunk: Uint8Array): void {
    this.chunks.push(Buffer.from(chunk));
    if (this.takes) this.exchange?.consumed(chunk.byteLength);
  }
  end(): void {
    this.done.resolve();
  }
  drain(): void {
    this.drained.resolve();
  }
  closed(error: LinkError | null): void {
    this.error = error;
    if (error !== null) this.headSeen.reject(new Error(error.message));
    this.done.resolve();
  }
  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

export interface BindingRig extends Rig {
  queues: Queues;
  base: Link;
  spec: ModuleSpec;
  entry: FunctionEntry;
  /** As a base calls: whatever it likes. */
  open(binding: string, call: unknown, body?: Uint8Array | null, fin?: boolean, invocationId?: string | null): Answer;
  ask(binding: string, call: unknown, body?: Uint8Array | null, invocationId?: string | null): Promise<Answer>;
}

const MANIFEST: ManifestInput = {
  kv_namespaces: [{ binding: 'KV', id: 'n1' }],
  queues: { producers: [{ binding: 'Q', queue: 'orders', delivery_delay: 7 }] },
  services: [
    { binding: 'OTHER', service: 'other', entrypoint: 'Admin', props: { tier: 1 } },
    { binding: 'NOBODY', service: 'nobody' },
  ],
};

export async function openBindings(t: TestContext, more: ManifestInput = {}): Promise<BindingRig> {
  const rig = await openRig(t);
  const { store, registry, dispatcher, clock, newId } = rig;
  const queues = createQueues({
    store: store.queues,
    registry,
    dispatcher,
    telemetry: { queueDepth: ignore },
    now: clock.now,
    timers: clock,
    random: Math.random,
    newId,
    log: SILENT,
  });
  await deploy(registry, 'caller', { ...MANIFEST, ...more });
  await deploy(registry, 'other');
  const entry = registry.function('caller');
  assert.ok(entry?.active);
  const { spec } = entry.active;
  const handle = createBindings({
    store,
    assets: createAssetLibrary(createAssetContents(store.kv, clock.now)),
    queues,
    registry,
    dispatcher,
    configs: createConfigs(store.configs, clock.now),
    topics: createTopics({ registry, queues }),
    rates: createRates(clock.now),
    maxFileBytes: 3 * 1024 * 1024,
    timers: clock,
    newId,
    now: clock.now,
    log: SILENT,
  });

  const dir = await mkdtemp(join(tmpdir(), 'hearth-bindings-'));
  const server = createServer();
  server.listen(join(dir, 's'));
  const [client] = await Promise.all([
    once(server, 'listening').then(() => connect(join(dir, 's'))),
    once(server, 'connection').then(([socket]: Socket[]) => {
      const handler: LinkHandler = {
        opened: (head, exchange) => handle(spec, head as BindingCallHead, exchange),
        event: ignore,
        closed: ignore,
      };
      return connectLink(socket as Socket, handler, { side: 'listen', flush: 'tick' });
    }),
  ]);
  const base = connectLink(
    client,
    { opened: ignore, event: ignore, closed: ignore },
    { side: 'connect', flush: 'tick' },
  );
  t.after(async () => {
    base.destroy('over');
    server.close();
    await rm(dir, { recursive: true, force: true });
  });

  const open: BindingRig['open'] = (binding, call, body = null, fin = true, invocationId = null) => {
    const answer = new Answer();
    const head = { kind: 'binding', module: 'm', invocationId, binding, call };
    answer.exchange = base.open(head, answer, body, fin);
    return answer;
  };
  const ask: BindingRig['ask'] = async (binding, call, body = null, invocationId = null) => {
    const answer = open(binding, call, body, true, invocationId);
    await answer.done.promise;
    return answer;
  };
  return { ...rig, queues, base, spec, entry, open, ask };
}
