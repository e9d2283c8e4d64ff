/** How functions run at this gateway, and what is seen of them. */

import type { KeeperHooks } from '../../pool/keeper/api.ts';
import { createKeeper } from '../../pool/keeper/keeper.ts';
import { youngCollector } from '../garbage.ts';
import { createPoolLog } from '../pool-log.ts';
import { blamedKeysOf } from '../registry/blamed-keys.ts';
import { sandboxFor } from '../start/sandbox.ts';
import { createCallFeed } from '../telemetry/call-feed.ts';
import { createTelemetry } from '../telemetry/create-telemetry.ts';
import { createFunctionsSeen } from '../telemetry/functions-seen.ts';
import type { FinishedInvocation } from '../telemetry/telemetry.ts';
import { createDispatcher } from '../triggers/dispatch.ts';
import type { State } from './state.ts';

/** V8's own limit of one base, far above memoryMb of any function: reaching it aborts the whole host. */
const HEAP_LIMIT_MB = 4096;

/** Parts that need the platform themselves: called only once something runs, when all of them are there. */
export interface PlatformHooks {
  binding: KeeperHooks['binding'];
  finished(invocation: FinishedInvocation): void;
}

export type Platform = Awaited<ReturnType<typeof createPlatform>>;

export async function createPlatform(state: State, hooks: PlatformHooks) {
  const { config, log, now, preciseNow, newId, registry, quota } = state;
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
    definitions: [...state.definitions.inUse.values()],
    runDir: state.runDir,
    settings: {
      warmBases: config.warmBases,
      maxBases: config.maxBases,
      basesPerHost: config.basesPerHost,
      heapLimitMb: HEAP_LIMIT_MB,
      memoryMb: config.memoryMb,
      sandbox: sandboxFor(config.sandbox, log),
      stockNetwork: config.network,
      inspectPort: config.inspectPort ?? undefined,
      pools: state.file.pools,
    },
    collectYoung: youngCollector(),
    hooks: {
      binding: (spec, call, exchange) => hooks.binding(spec, call, exchange),
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
    resource: { 'service.version': state.version },
  });
  const dispatcher = createDispatcher({
    keeper,
    telemetry: {
      ...telemetry,
      finished(invocation) {
        telemetry.finished(invocation);
        callFeed.finished(invocation);
        seen.finished(invocation);
        hooks.finished(invocation);
      },
    },
    now: preciseNow,
    newId,
    log,
    functionFailed: seen.failed,
  });
  registry.onChange((name) => {
    const entry = registry.function(name);
    if (entry !== undefined) {
      telemetry.forgetVersions(name, (version) => entry.names(version));
      return;
    }
    seen.forget(name);
    telemetry.forgetFunction(name);
  });
  return { seen, callFeed, poolLog, keeper, telemetry, dispatcher };
}
