/** Starts Hearth: reads the settings, wires the parts, says where everything is. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { codeCacheKey } from '../functions/build/cache-key.ts';
import { createBuilder } from '../functions/build/client.ts';
import { monotonicMs } from '../functions/contract/invocation.ts';
import { createKeeper } from '../pool/keeper/keeper.ts';
import { BUFFER_POOL } from '../pool/keeper/pools.ts';
import { keepActive } from './activation.ts';
import { createAddressCheck } from './addresses.ts';
import { createArklet } from './arklet/arklet.ts';
import { createBaseChanges } from './bases/changes.ts';
import { loadBaseDefinitions } from './bases/definitions.ts';
import { createBaseGate } from './bases/gate.ts';
import { createBaseProofs } from './bases/proofs.ts';
import { provedTraffic } from './bases/proved-traffic.ts';
import { resolveBases } from './bases/resolve.ts';
import { createBindings } from './bindings/bindings.ts';
import { createConfigs } from './bindings/configs.ts';
import { createClock } from './clock.ts';
import { createFollower } from './cluster/follower.ts';
import { hold } from './cluster/hold.ts';
import { createLeadership } from './cluster/leadership.ts';
import { createClusterTurn } from './cluster/turn.ts';
import { type Config, ConfigError, helpText, readConfig } from './config.ts';
import { createAccess, overrideRefusal } from './control/access.ts';
import { createAudit } from './control/audit.ts';
import { createControl } from './control/control.ts';
import { createDeployer } from './control/deploy.ts';
import { collectSeldom, heapBytes, wholeCollector, youngCollector } from './garbage.ts';
import { keepDirect } from './group-calls.ts';
import { createAccessCheck } from './ingress/access.ts';
import { createAssetContents } from './ingress/assets/contents.ts';
import { createAssetIntake } from './ingress/assets/intake.ts';
import { createAssetLibrary } from './ingress/assets/library.ts';
import { createAssets } from './ingress/assets/serve.ts';
import { createKeySets } from './ingress/key-sets.ts';
import { createIngress } from './ingress/server.ts';
import { createPoolLog, withinStart } from './pool-log.ts';
import { createRates } from './rates.ts';
import { blamedKeysOf } from './registry/blamed-keys.ts';
import { createRegistry } from './registry/memory.ts';
import { createRest, type Rest } from './rest.ts';
import { createVersionSweep } from './retention/versions.ts';
import { createReports } from './rollouts/reports.ts';
import { createRollouts } from './rollouts/rollouts.ts';
import { type Ready, readyLine, readyText, urlOf } from './start/announce.ts';
import { checkPools, readConfigFile } from './start/config-file.ts';
import { adminTokenOf, makeRunDir, openDataDir } from './start/data-dir.ts';
import { deployExamples } from './start/examples.ts';
import { endWithProcess, type Running } from './start/lifecycle.ts';
import { openPorts } from './start/ports.ts';
import { sandboxFor } from './start/sandbox.ts';
import { StartError } from './start/start-error.ts';
import { openStore } from './store/open.ts';
import { createSeal, loadSecretKeys } from './store/seal.ts';
import { StoreStartError } from './store/start-error.ts';
import { createSweeps } from './sweeps.ts';
import { createCallFeed } from './telemetry/call-feed.ts';
import { createTelemetry } from './telemetry/create-telemetry.ts';
import { createFunctionsSeen } from './telemetry/functions-seen.ts';
import { createLogger, type Logger } from './telemetry/log.ts';
import { createAsyncs } from './triggers/async/asyncs.ts';
import { createCallback } from './triggers/async/callback.ts';
import { createCrons } from './triggers/cron/crons.ts';
import { createDispatcher } from './triggers/dispatch.ts';
import { createIdMaker } from './triggers/ids.ts';
import { createQueues } from './triggers/queue/queues.ts';
import { realTimers } from './triggers/timers.ts';
import { createTopics } from './triggers/topics.ts';

const ROOT = join(import.meta.dirname, '..');
const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;

/** V8's own limit of one base, far above memoryMb of any function: reaching it aborts the whole host. */
const HEAP_LIMIT_MB = 4096;
/** Of one callback, from the look-up of its name to the head of the answer. */
const CALLBACK_MS = 10_000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Of the drain, for what is left to export. */
const EXPORT_MS = 2_000;

async function start(config: Config, log: Logger, runningAs: (running: Running) => void): Promise<Ready> {
  const startedAt = performance.now();
  const now = Date.now;
  const preciseNow = createClock();
  const newId = createIdMaker(now);
  const keepMs = config.retentionDays * DAY_MS;
  const file = readConfigFile(config.configFile, process.cwd());
  checkPools(file.pools, config);
  // Before anything is made: what is wrong in the file ends the start.
  resolveBases(file, process.env);

  const dataDir = await openDataDir(config.dataDir);
  const adminToken = await adminTokenOf(dataDir.path, config.adminToken);
  const seal = createSeal(await loadSecretKeys(config.secretKeys, dataDir.path));
  const { store, quota, isNew } = await openStore({ config, dataDir, seal, timers: realTimers, log });
  // Leases are this process's own; only a store of its own it has to itself, and goes on at once with what it held before.
  const owner = config.redis === null ? 'gateway' : newId();
  const loaded = await store.changes.revisions();
  const registry = await createRegistry({
    store,
    seal,
    defaults: { network: config.network, patient: config.inspectPort !== null },
    log,
    cacheKeyOf: codeCacheKey,
    ...(config.redis === null ? {} : { turnOf: createClusterTurn({ ...store, owner, now, timers: realTimers }) }),
  });
  const runDir = await makeRunDir(dataDir.path);
  const definitions = await loadBaseDefinitions({
    file,
    env: process.env,
    store: store.bases,
    directory: join(runDir, 'setup'),
    now,
    log,
  });
  const builder = createBuilder({ runDir: join(runDir, 'build'), log });

  const seen = createFunctionsSeen({
    log,
    now,
    invocation: (id) => dispatcher.invocation(id),
    logged: (line) => telemetry.logged(line),
    keysOf: (name) => blamedKeysOf(registry, name),
  });
  const callFeed = createCallFeed();
  const poolLog = createPoolLog(log);
  const keeper = await createKeeper({
    definitions: [...definitions.inUse.values()],
    runDir,
    settings: {
      warmBases: config.warmBases,
      maxBases: config.maxBases,
      basesPerHost: config.basesPerHost,
      heapLimitMb: HEAP_LIMIT_MB,
      memoryMb: config.memoryMb,
      sandbox: sandboxFor(config.sandbox, log),
      stockNetwork: config.network,
      inspectPort: config.inspectPort ?? undefined,
      pools: file.pools,
    },
    collectYoung: youngCollector(),
    // The parts below need the keeper: these are called only after `start`, when all of them are there.
    hooks: {
      binding: (spec, call, exchange) => bindings(spec, call, exchange),
      log: seen.write,
      spans: (spec, invocationId, spans) => dispatcher.reported(spec, invocationId, spans),
      direct: ({ functionName }, calls, failed) => telemetry.direct(functionName, calls, failed),
      event: (event) => {
        poolLog(event);
        seen.event(event);
      },
      acquired: (durationMs) => telemetry.acquired(durationMs),
    },
    now: preciseNow,
    log,
  });
  const telemetry = createTelemetry({
    env: process.env,
    sources: {
      pool: () => keeper.snapshot(),
      serves: (name, version) => registry.function(name)?.names(version) === true,
      health: seen.health,
      store: quota.level,
    },
    now,
    log,
    resource: { 'service.version': VERSION },
  });
  let rest: Rest | null = null;
  const dispatcher = createDispatcher({
    keeper,
    telemetry: {
      ...telemetry,
      finished(invocation) {
        rest?.touch();
        telemetry.finished(invocation);
        rollouts.finished(invocation);
        callFeed.finished(invocation);
        seen.finished(invocation);
      },
    },
    now: preciseNow,
    newId,
    log,
    functionFailed: seen.failed,
  });
  const triggerParts = { registry, dispatcher, owner, changes: store.changes, now, timers: realTimers, newId, log };
  const queues = createQueues({
    ...triggerParts,
    store: store.queues,
    telemetry,
    random: Math.random,
    own: (queue) => asyncs.receiver(queue),
    leases: config.redis === null ? undefined : store.leases,
  });
  const callsBack = createAddressCheck(config.callbackPrivate === 'allow');
  const asyncs = createAsyncs({
    ...triggerParts,
    store: store.asyncs,
    queues,
    callback: createCallback({ allowed: callsBack, timeoutMs: CALLBACK_MS }),
    keepMs,
  });
  const crons = createCrons({ ...triggerParts, store: store.crons, keeper });
  const sweeps = createSweeps({
    ...triggerParts,
    sweeps: [
      ...[store.kv.sweep, store.files.sweep, store.locks.sweep, store.asyncs.sweep, store.answers.sweep],
      (nowMs, most) => versionSweep(nowMs, most),
    ],
    here: (nowMs) => seen.logs.expire(nowMs - keepMs),
    leases: store.leases,
  });
  const assetContents = createAssetContents(store.kv, now);
  const assetLibrary = createAssetLibrary(assetContents);
  const topics = createTopics({ registry, queues });
  const rates = createRates(now);
  const configs = createConfigs(store.configs, now);
  const bindings = createBindings({
    ...triggerParts,
    store,
    queues,
    topics,
    configs,
    rates,
    assets: assetLibrary,
    maxFileBytes: config.maxBodyBytes,
  });
  registry.onChange((name) => {
    rest?.touch();
    const entry = registry.function(name);
    if (entry !== undefined) {
      telemetry.forgetVersions(name, (version) => entry.names(version));
      return;
    }
    seen.forget(name);
    telemetry.forgetFunction(name);
  });
  const ingress = createIngress({
    registry,
    dispatcher,
    mayOverride: (token, name) => overrideRefusal(access, token, name),
    access: createAccessCheck({ keySets: createKeySets({ allowed: callsBack, now }), rates, now }),
    assets: createAssets(assetLibrary, log),
    config,
    log,
  });

  let url = '';
  const functionUrl = (name: string) => `${url}/${name}`;
  let state: 'starting' | 'ready' | 'ending' = 'starting';
  const ending = new AbortController();
  const audit = createAudit(store.audit, now);
  const gate = createBaseGate();
  const proofs = createBaseProofs({ gate, inUse: definitions.inUse, keeper, registry });
  const proved = provedTraffic({ registry, proofs, gate, log });
  const leadership = createLeadership({
    ...triggerParts,
    name: 'rollouts',
    leases: store.leases,
    begun: () => rollouts.lead(),
  });
  const rollouts = createRollouts({
    store: store.rollouts,
    registry: proved,
    leads: () => config.redis === null || leadership.leads,
    ...(config.redis === null ? {} : { reports: createReports({ kv: store.kv, owner, now }) }),
    audit,
    now,
    timers: realTimers,
    newId,
    log,
  });
  const access = await createAccess(adminToken, store.tokens);
  const deployer = createDeployer({
    registry,
    store: store.registry,
    keeper,
    builder,
    bases: definitions.inUse,
    gate,
    proofs,
    pools: new Set(['default', ...Object.keys(file.pools)].filter((name) => name !== BUFFER_POOL)),
    assets: createAssetIntake(assetContents),
    network: config.network,
    fetchesFrom: callsBack,
    audit,
    log,
    urlOf: functionUrl,
    inspected: config.inspectPort !== null,
    now,
  });
  const versionSweep = createVersionSweep({
    registry,
    rollouts: store.rollouts,
    deployer,
    audit,
    keepMs,
    pause: setImmediate,
    clock: monotonicMs,
  });
  const baseChanges = createBaseChanges({
    definitions,
    store: store.bases,
    keeper,
    registry,
    gate,
    proofs,
    builder,
    network: config.network,
    hold: (lease) => hold(lease, { ...triggerParts, leases: store.leases }),
    audit,
    log,
    now,
  });
  const follower = createFollower({
    changes: store.changes,
    loaded,
    registry,
    others: {
      token: access.refresh,
      rollout: rollouts.refresh,
      base: baseChanges.refresh,
      queue: queues.refresh,
      config: configs.refresh,
    },
    messages: queues.noticed,
    timers: realTimers,
    log,
  });
  const control = createControl({
    ...triggerParts,
    config,
    version: VERSION,
    store,
    seal,
    access,
    proved,
    assets: { contents: assetContents, library: assetLibrary },
    keeper,
    deployer,
    asyncs,
    queues,
    topics,
    crons,
    configs,
    rollouts,
    bases: { definitions, changes: baseChanges },
    telemetry,
    functionLogs: seen.logs,
    healthOf: seen.healthOf,
    callFeed,
    audit,
    callsBack,
    urlOf: functionUrl,
    ready: () => state === 'ready',
    ended: ending.signal,
  });
  const arklet = createArklet({
    config,
    access,
    registry: proved,
    deployer,
    keeper,
    secrets: store.secrets,
    audit,
    log,
    version: VERSION,
    ready: () => state === 'ready',
    now,
  });

  runningAs({
    async drain(deadlineMs) {
      state = 'ending';
      rest?.end();
      quota.end();
      ending.abort();
      const until = performance.now() + deadlineMs;
      const left = () => Math.max(0, until - performance.now());
      const triggers = Promise.all([
        ingress.drain(deadlineMs),
        crons.drain(),
        queues.drain(),
        sweeps.drain(),
        follower.drain(),
        rollouts.drain().then(leadership.drain),
        control.close(),
        arklet?.close(),
      ]);
      await Promise.race([triggers, new Promise((resolve) => setTimeout(resolve, deadlineMs).unref())]);
      control.kill();
      arklet?.kill();
      await keeper.drain(left());
      await builder.close();
      await telemetry.shutdown(EXPORT_MS);
      await store.close();
    },
    kill() {
      keeper.kill();
      if (builder.pid !== undefined) process.kill(-builder.pid, 'SIGKILL');
    },
  });

  // Ports first: one that is taken ends the start before any host was begun.
  const { port, adminPort, arkletPort } = await openPorts(config, { ingress, control, arklet });
  url = urlOf(config.host, port);
  await withinStart(keeper.start(), () => poolLog.lastTrouble());
  keepActive(registry, keeper, log);
  await queues.start();
  await crons.start();
  await rollouts.start();
  sweeps.start();
  if (config.redis !== null) {
    follower.start();
    await leadership.start();
  }
  // After it: what is rolled out is called over the gateway.
  keepDirect(registry, keeper);
  const examples =
    config.examples === 'auto' && isNew
      ? await deployExamples(join(ROOT, 'functions/examples'), deployer, definitions.inUse, log)
      : [];
  state = 'ready';
  collectSeldom();
  rest = createRest({ timers: realTimers, bytes: heapBytes, compact: wholeCollector() });
  return {
    url,
    adminUrl: urlOf(config.adminHost, adminPort),
    ...(arkletPort === undefined ? {} : { arkletUrl: urlOf(config.adminHost, arkletPort) }),
    dataDir: dataDir.path,
    tokenFile: config.adminToken === null ? join(dataDir.path, 'admin-token') : null,
    examples,
    startedInMs: performance.now() - startedAt,
  };
}

async function main(): Promise<void> {
  let running: Running | null = null;
  try {
    const { config, help } = readConfig(process.argv.slice(2), process.env);
    if (help) {
      process.stdout.write(helpText());
      return;
    }
    const pretty = process.stdout.isTTY === true;
    const log = createLogger({ level: config.log, pretty, write: (line) => process.stdout.write(line) });
    endWithProcess(() => running, log, process.exit);
    const ready = await start(config, log, (parts) => {
      running = parts;
    });
    process.stdout.write(pretty ? readyText(ready) : readyLine(ready));
  } catch (error) {
    (running as Running | null)?.kill();
    const expected = error instanceof ConfigError || error instanceof StartError || error instanceof StoreStartError;
    process.stderr.write(
      `hearth: ${expected ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exit(error instanceof ConfigError ? 2 : 1);
  }
}

await main();
