/** Telemetry as the gateway uses it: ids at the beginning of an invocation, spans and metrics when it has ended. */
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import type { Timers } from '../triggers/timers.ts';
import { createFigures } from './figures.ts';
import type { Logger } from './log.ts';
import { startLogExport } from './log-export.ts';
import { createMetrics } from './metrics.ts';
import { type Environment, readOtelSettings } from './otel-settings.ts';
import { startMetricExport } from './otlp-metrics.ts';
import { prometheusText } from './prometheus.ts';
import { createSampler } from './sampler.ts';
import { startSpanExport } from './span-export.ts';
import { createSpanMaker, isAlwaysExported } from './spans.ts';
import type { Telemetry, TelemetrySources } from './telemetry.ts';
import { createIdSource, formatTraceparent, type IdSource, parseTraceparent } from './traceparent.ts';

export interface TelemetryOptions {
  /** Where OTEL_* stand; the standard's names and defaults, service name `hearth`. */
  env: Environment;
  sources: TelemetrySources;
  /** Epoch ms. */
  now(): number;
  log: Logger;
  /** Resource attributes, such as `service.version`; OTEL_RESOURCE_ATTRIBUTES win over them. */
  resource?: Readonly<Record<string, string>>;
  ids?: IdSource;
}

/** What is looked at now and then keeps no process alive. */
const UNREFERENCED: Timers = {
  after(ms, call) {
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** Throws a ConfigError of one line when an OTEL_* variable has a value that is not allowed. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { sources, now, log, ids = createIdSource() } = options;
  const settings = readOtelSettings(options.env);
  const resource = defaultResource().merge(resourceFromAttributes({ ...options.resource, ...settings.resource }));
  const sampler = createSampler(settings.sampler);
  const metrics = createMetrics(sources);
  const figures = createFigures({ source: metrics, now, timers: UNREFERENCED });
  const spanMaker = createSpanMaker(resource, ids.spanId);
  const spanExport =
    settings.traces === null
      ? null
      : startSpanExport({ target: settings.traces, batch: settings.batch, drops: metrics.drops, log });
  const metricExport =
    settings.metrics === null
      ? null
      : startMetricExport({
          target: settings.metrics,
          intervalMs: settings.metricIntervalMs,
          resource,
          families: metrics.families,
          log,
          now,
        });
  const logExport =
    settings.logs === null
      ? null
      : startLogExport({
          target: settings.logs,
          batch: settings.logBatch,
          resource,
          dropped: metrics.drops.logs,
          log,
        });
  let closed: Promise<void> | null = null;

  async function close(): Promise<void> {
    // What fails here was told by the export's own watch.
    await Promise.allSettled([spanExport?.shutdown(), metricExport?.shutdown(), logExport?.shutdown()]);
  }

  return {
    begin(traceparent) {
      const parent = traceparent === null ? null : parseTraceparent(traceparent);
      const traceId = parent?.traceId ?? ids.traceId();
      return {
        traceId,
        parentSpanId: parent?.spanId ?? null,
        serverSpanId: ids.spanId(),
        invokeSpanId: ids.spanId(),
        sampled: sampler.decide(traceId, parent?.sampled ?? null),
      };
    },
    traceparent: (trace) => formatTraceparent(trace.traceId, trace.invokeSpanId, trace.sampled),
    finished(invocation) {
      metrics.finished(invocation);
      if (spanExport === null) return;
      const kept = isAlwaysExported(invocation);
      if (!kept && !invocation.trace.sampled) return;
      const queue = kept ? spanExport.kept : spanExport.ordinary;
      queue.offer(spanMaker.spans(invocation));
    },
    logged: (line) => logExport?.offer(line),
    direct: metrics.direct,
    acquired: metrics.acquired,
    queueDepth: metrics.queueDepth,
    forgetFunction: metrics.forgetFunction,
    forgetVersions: metrics.forgetVersions,
    forgetQueue: metrics.forgetQueue,
    figures,
    metricsChunks: () => prometheusText(metrics.families),
    metricsText: async () => (await Array.fromAsync(prometheusText(metrics.families))).join(''),
    async shutdown(deadlineMs) {
      figures.end();
      closed ??= close();
      let timer: NodeJS.Timeout | undefined;
      const deadline = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, deadlineMs);
      });
      await Promise.race([closed, deadline]);
      clearTimeout(timer);
    },
  };
}
