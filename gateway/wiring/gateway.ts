/** A whole gateway: its parts put together, their start and their end, each in its order. */
import { join } from 'node:path';
import { keepActive } from '../activation.ts';
import { createArklet } from '../arklet/arklet.ts';
import { createFollower } from '../cluster/follower.ts';
import type { Config } from '../config.ts';
import { createControl } from '../control/control.ts';
import { collectSeldom, heapBytes, wholeCollector } from '../garbage.ts';
import { keepDirect } from '../group-calls.ts';
import { withinStart } from '../pool-log.ts';
import { createRest, type Rest } from '../rest.ts';
import { type Ready, urlOf } from '../start/announce.ts';
import { deployExamples } from '../start/examples.ts';
import type { Running } from '../start/lifecycle.ts';
import { openPorts } from '../start/ports.ts';
import { createSweeps } from '../sweeps.ts';
import type { Logger } from '../telemetry/log.ts';
import { createPlatform } from './platform.ts';
import { createReleases } from './releases.ts';
import { openState, ROOT } from './state.ts';
import { createTriggers, triggerParts } from './triggers.ts';

/** Of the drain, for what is left to export. */
const EXPORT_MS = 2_000;

/**
 * Resolves when all of it answers; `runningAs` is called as soon as there is something to end. Throws ConfigError,
 * StartError and StoreStartError.
 */
export async function startGateway(config: Config, log: Logger, runningAs: (running: Running) => void): Promise<Ready> {
  const startedAt = performance.now();
  let phase: 'starting' | 'ready' | 'ending' = 'starting';
  let url = '';
  let rest: Rest | null = null;
  const ending = new AbortController();
  const ready = () => phase === 'ready';
  const functionUrl = (name: string) => `${url}/${name}`;

  const state = await openState(config, log);
  const { store, quota, registry, definitions, access, audit, keepMs } = state;
  const platform = await createPlatform(state, {
    binding: (spec, call, exchange) => bindings(spec, call, exchange),
    finished(invocation) {
      rest?.touch();
      rollouts.finished(invocation);
    },
  });
  const { keeper, telemetry, seen } = platform;
  const triggers = createTriggers(state, platform);
  const { queues, crons, configs, bindings, ingress } = triggers;
  const releases = createReleases(state, platform, functionUrl);
  const { proved, leadership, rollouts, deployer, baseChanges } = releases;
  const parts = triggerParts(state, platform);
  registry.onChange(() => rest?.touch());
  const sweeps = createSweeps({
    ...parts,
    sweeps: [
      ...[store.kv.sweep, store.files.sweep, store.locks.sweep, store.asyncs.sweep, store.answers.sweep],
      releases.versionSweep,
    ],
    here: (nowMs) => seen.logs.expire(nowMs - keepMs),
    leases: store.leases,
  });
  const follower = createFollower({
    ...parts,
    loaded: state.loaded,
    others: {
      token: access.refresh,
      rollout: rollouts.refresh,
      base: baseChanges.refresh,
      queue: queues.refresh,
      config: configs.refresh,
    },
    messages: queues.noticed,
  });
  const control = createControl({
    ...state,
    ...platform,
    ...triggers,
    ...parts,
    proved,
    deployer,
    rollouts,
    bases: { definitions, changes: baseChanges },
    functionLogs: seen.logs,
    healthOf: seen.healthOf,
    callsBack: state.mayCall,
    urlOf: functionUrl,
    ready,
    ended: ending.signal,
  });
  const arklet = createArklet({ ...state, registry: proved, deployer, keeper, secrets: store.secrets, audit, ready });

  runningAs({
    async drain(deadlineMs) {
      phase = 'ending';
      rest?.end();
      quota.end();
      ending.abort();
      const until = performance.now() + deadlineMs;
      const left = () => Math.max(0, until - performance.now());
      const work = Promise.all([
        ingress.drain(deadlineMs),
        crons.drain(),
        queues.drain(),
        sweeps.drain(),
        follower.drain(),
        rollouts.drain().then(leadership.drain),
        control.close(),
        arklet?.close(),
      ]);
      await Promise.race([work, new Promise((resolve) => setTimeout(resolve, deadlineMs).unref())]);
      control.kill();
      arklet?.kill();
      await keeper.drain(left());
      await state.builder.close();
      await telemetry.shutdown(EXPORT_MS);
      await store.close();
    },
    kill() {
      keeper.kill();
      const { pid } = state.builder;
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    },
  });

  // Ports first: one that is taken ends the start before any host was begun.
  const { port, adminPort, arkletPort } = await openPorts(config, { ingress, control, arklet });
  url = urlOf(config.host, port);
  await withinStart(keeper.start(), () => platform.poolLog.lastTrouble());
  keepActive(registry, keeper, log);
  await queues.start();
  await crons.start();
  await rollouts.start();
  sweeps.start();
  if (state.isShared) {
    follower.start();
    await leadership.start();
  }
  // After it: what is rolled out is called over the gateway.
  keepDirect(registry, keeper);
  const examples =
    config.examples === 'auto' && state.isNew
      ? await deployExamples(join(ROOT, 'functions/examples'), deployer, definitions.inUse, log)
      : [];
  phase = 'ready';
  collectSeldom();
  rest = createRest({ timers: state.timers, bytes: heapBytes, compact: wholeCollector() });
  const dataDir = state.dataDir.path;
  return {
    url,
    adminUrl: urlOf(config.adminHost, adminPort),
    ...(arkletPort === undefined ? {} : { arkletUrl: urlOf(config.adminHost, arkletPort) }),
    dataDir,
    tokenFile: config.adminToken === null ? join(dataDir, 'admin-token') : null,
    examples,
    startedInMs: performance.now() - startedAt,
  };
}
