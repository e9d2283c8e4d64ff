/**
 * Every name of spans, attributes and metrics that Hearth gives out, in one place.
 *
 * The FaaS and messaging conventions are still in development, so their names are written out here rather than taken
 * from the package's unstable entry: a minor release of that package must not rename what dashboards are built on.
 * names.test.ts compares them with the installed conventions and lists where Hearth holds on to an older name.
 */

export const DEFAULT_SERVICE_NAME = 'hearth';
export const SCOPE = 'hearth.gateway';

export const SPAN = {
  acquire: 'pool.acquire',
  load: 'function.load',
  transfer: 'function.load.transfer',
  compile: 'function.load.compile',
  evaluate: 'function.load.evaluate',
  invoke: 'function.invoke',
} as const;

/** Names that the conventions define. */
export const ATTR = {
  faasTrigger: 'faas.trigger',
  faasName: 'faas.name',
  faasVersion: 'faas.version',
  faasInstance: 'faas.instance',
  faasColdstart: 'faas.coldstart',
  faasCron: 'faas.cron',
  /** The package says `faas.invocation.id`; the public contract of Hearth fixes the name the specification gives. */
  faasInvocationId: 'faas.invocation_id',
  /** ISO 8601. `faas.invocation.start_time` in the package, for the same reason. */
  faasTime: 'faas.time',
  httpMethod: 'http.request.method',
  httpMethodOriginal: 'http.request.method_original',
  httpStatus: 'http.response.status_code',
  httpRoute: 'http.route',
  urlPath: 'url.path',
  urlScheme: 'url.scheme',
  serverAddress: 'server.address',
  messagingSystem: 'messaging.system.name',
  messagingDestination: 'messaging.destination.name',
  messagingOperation: 'messaging.operation.name',
  messagingOperationType: 'messaging.operation.type',
  messagingMessageId: 'messaging.message.id',
  messagingBatchCount: 'messaging.batch.message_count',
  rpcSystem: 'rpc.system.name',
  rpcMethod: 'rpc.method',
  errorType: 'error.type',
  serviceName: 'service.name',
  serviceVersion: 'service.version',
} as const;

/** Hearth's own. */
export const HEARTH_ATTR = {
  /** true on the spans of a deploy's probe. */
  probe: 'hearth.probe',
  trustGroup: 'hearth.trust_group',
  /** How the version of a call was chosen: see ARM. */
  arm: 'hearth.arm',
  host: 'hearth.host',
  base: 'hearth.base',
  pool: 'hearth.pool',
  baseState: 'hearth.base.state',
  hostState: 'hearth.host.state',
  phase: 'hearth.coldstart.phase',
  health: 'hearth.health.state',
  /** 2 when the first base died before the function was called. */
  attempt: 'hearth.attempt',
  /** From when a cron tick was due until it was begun, ms. */
  cronLate: 'hearth.cron.late_ms',
  /** Deliveries of a message so far, this one counted. */
  messageAttempts: 'hearth.message.attempts',
  reason: 'hearth.reason',
} as const;

/**
 * Values of `hearth.arm`; and PUBLICATION/SPLIT, where a part of a publication serves the call. `split` is also what has
 * nothing to choose from; `override` what a caller named.
 */
export const ARM = { split: 'split', rule: 'rule', override: 'override' } as const;
/** Stands for what is beyond the values that are counted one by one, of versions and of arms. */
export const OTHER = 'other';

export const MESSAGING_SYSTEM = 'hearth';
export const RPC_SYSTEM = 'hearth';

/** Values of `faas.trigger`. The conventions have no RPC among them. */
export const FAAS_TRIGGER = { http: 'http', cron: 'timer', queue: 'pubsub', rpc: 'other' } as const;

interface MetricName {
  readonly name: string;
  /** UCUM. */
  readonly unit: string;
  readonly description: string;
}

export const METRIC = {
  coldstarts: { name: 'faas.coldstarts', unit: '{coldstart}', description: 'Cold starts; probes of deploys excluded.' },
  initDuration: {
    name: 'faas.init_duration',
    unit: 's',
    description: 'Cold start: taking a base, transfer, compilation and evaluation together.',
  },
  invokeDuration: {
    name: 'faas.invoke_duration',
    unit: 's',
    description: 'From the call of the function to the end of its answer.',
  },
  invocations: { name: 'faas.invocations', unit: '{invocation}', description: 'Invocations that succeeded.' },
  errors: {
    name: 'faas.errors',
    unit: '{error}',
    description: 'Invocations that failed, timeouts among them, by the code of the error.',
  },
  timeouts: { name: 'faas.timeouts', unit: '{timeout}', description: 'Invocations that ran out of time.' },
  cpuUsage: { name: 'faas.cpu_usage', unit: 's', description: 'CPU time that a host process has used.' },
  memUsage: { name: 'faas.mem_usage', unit: 'By', description: 'Memory of a host process.' },
  poolBases: { name: 'hearth.pool.bases', unit: '{base}', description: 'Bases by state.' },
  poolHosts: { name: 'hearth.pool.hosts', unit: '{host}', description: 'Host processes by state.' },
  poolSize: { name: 'hearth.pool.size', unit: '{base}', description: 'Bases that a pool may have of its own.' },
  poolBorrowed: {
    name: 'hearth.pool.borrowed',
    unit: '{base}',
    description: 'Bases that the buffer has lent to a pool.',
  },
  poolWaiting: { name: 'hearth.pool.waiting', unit: '{invocation}', description: 'Invocations waiting for a slot.' },
  acquireDuration: {
    name: 'hearth.pool.acquire_duration',
    unit: 's',
    description: 'How long taking a base took, for each cold start.',
  },
  phaseDuration: {
    name: 'hearth.coldstart.phase_duration',
    unit: 's',
    description: 'Invocations that started cold, by phase; the phases add up to the time inside Hearth.',
  },
  queueDepth: {
    name: 'hearth.queue.depth',
    unit: '{message}',
    description: 'Messages waiting, delayed and in flight.',
  },
  queueAge: { name: 'hearth.queue.oldest_age', unit: 's', description: 'Age of the oldest message of the queue.' },
  groupCalls: {
    name: 'hearth.group.calls',
    unit: '{call}',
    description: 'Calls of a module by its neighbours in the same base, past the gateway: not among faas.invocations.',
  },
  groupErrors: { name: 'hearth.group.errors', unit: '{error}', description: 'Of those calls, the ones that threw.' },
  functionHealth: {
    name: 'hearth.function.health',
    unit: '1',
    description: 'Of each function that was called: 1 while it serves, 0 while it fails or is in quarantine.',
  },
  functionRestarts: {
    name: 'hearth.function.restarts',
    unit: '{restart}',
    description: 'Bases that ended under a function: over a limit, blocked, or with their host.',
  },
  storeUsed: {
    name: 'hearth.store.used',
    unit: 'By',
    description: 'What the state takes: of the database, or of the memory of Redis.',
  },
  storeLimit: { name: 'hearth.store.limit', unit: 'By', description: 'What the state may take (HEARTH_DISK_MB).' },
  spansDropped: {
    name: 'hearth.telemetry.spans_dropped',
    unit: '{span}',
    description: 'Spans that were to be exported and were not.',
  },
  logsDropped: {
    name: 'hearth.telemetry.logs_dropped',
    unit: '{line}',
    description: 'Log lines of functions that were to be exported and were not.',
  },
} as const satisfies Record<string, MetricName>;
