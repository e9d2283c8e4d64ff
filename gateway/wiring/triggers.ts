/** What makes functions run: HTTP, queues, crons, asynchronous calls; and what they reach by their bindings. */
import { createBindings } from '../bindings/bindings.ts';
import { createConfigs } from '../bindings/configs.ts';
import { overrideRefusal } from '../control/access.ts';
import { createAccessCheck } from '../ingress/access.ts';
import { createAssets } from '../ingress/assets/serve.ts';
import { createKeySets } from '../ingress/key-sets.ts';
import { createIngress } from '../ingress/server.ts';
import { createRates } from '../rates.ts';
import { createAsyncs } from '../triggers/async/asyncs.ts';
import { createCallback } from '../triggers/async/callback.ts';
import { createCrons } from '../triggers/cron/crons.ts';
import { createQueues } from '../triggers/queue/queues.ts';
import { createTopics } from '../triggers/topics.ts';
import type { Platform } from './platform.ts';
import type { State } from './state.ts';

/** Of one callback, from the look-up of its name to the head of the answer. */
const CALLBACK_MS = 10_000;

/** What all triggers are made of. */
export function triggerParts({ registry, owner, store, now, timers, newId, log }: State, { dispatcher }: Platform) {
  return { registry, dispatcher, owner, changes: store.changes, now, timers, newId, log };
}

export type Triggers = ReturnType<typeof createTriggers>;

export function createTriggers(state: State, platform: Platform) {
  const { config, log, now, store, registry, mayCall, access } = state;
  const { keeper, dispatcher, telemetry } = platform;
  const parts = triggerParts(state, platform);
  const queues = createQueues({
    ...parts,
    store: store.queues,
    telemetry,
    random: Math.random,
    own: (queue) => asyncs.receiver(queue),
    leases: state.isShared ? store.leases : undefined,
  });
  const asyncs = createAsyncs({
    ...parts,
    store: store.asyncs,
    queues,
    callback: createCallback({ allowed: mayCall, timeoutMs: CALLBACK_MS }),
    keepMs: state.keepMs,
  });
  const crons = createCrons({ ...parts, store: store.crons, keeper });
  const topics = createTopics({ registry, queues });
  const rates = createRates(now);
  const configs = createConfigs(store.configs, now);
  const bindings = createBindings({
    ...parts,
    store,
    queues,
    topics,
    configs,
    rates,
    assets: state.assets.library,
    maxFileBytes: config.maxBodyBytes,
  });
  const ingress = createIngress({
    registry,
    dispatcher,
    mayOverride: (token, name) => overrideRefusal(access, token, name),
    access: createAccessCheck({ keySets: createKeySets({ allowed: mayCall, now }), rates, now }),
    assets: createAssets(state.assets.library, log),
    config,
    log,
  });
  return { queues, asyncs, crons, topics, configs, bindings, ingress };
}
