/**
 * Spans on their way out: two bounded queues over one OTLP exporter. Cold starts, errors and timeouts have a queue of
 * their own, so that a flood of ordinary traces cannot push them out. What does not fit is dropped and counted; nothing
 * here makes a caller wait.
 */
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import { watchExport } from './export-watch.ts';
import type { CounterCell } from './instruments.ts';
import type { Logger } from './log.ts';
import type { OtelSettings, OtlpTarget } from './otel-settings.ts';
import { otlpOptions } from './otlp-options.ts';

export interface SpanQueue {
  /** All of them or none. */
  offer(spans: readonly ReadableSpan[]): void;
}

export interface SpanExport {
  readonly ordinary: SpanQueue;
  /** For what is always exported: holds four times as much. */
  readonly kept: SpanQueue;
  /** Exports what is queued, as far as the collector takes it. */
  shutdown(): Promise<void>;
}

export interface DropCounters {
  queueFull: CounterCell;
  exportFailed: CounterCell;
  /** Of log lines, whatever the reason. */
  logs: CounterCell;
}

export function startSpanExport(options: {
  target: OtlpTarget;
  batch: OtelSettings['batch'];
  drops: DropCounters;
  log: Logger;
}): SpanExport {
  const { target, batch, drops, log } = options;
  const keptSize = 4 * batch.maxQueueSize;
  const exporter = new OTLPTraceExporter({
    ...otlpOptions(target),
    // At shutdown all batches of both queues go out at once.
    concurrencyLimit: Math.ceil((batch.maxQueueSize + keptSize) / batch.maxExportBatchSize) + 2,
  });
  const observe = watchExport(log, 'traces', target.url);
  const watched: Pick<SpanExporter, 'export'> = {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.code !== ExportResultCode.SUCCESS) drops.exportFailed.value += spans.length;
        observe(result);
        done(result);
      });
    },
  };
  const ordinary = spanQueue(watched, batch, batch.maxQueueSize, drops);
  const kept = spanQueue(watched, batch, keptSize, drops);
  return {
    ordinary,
    kept,
    async shutdown() {
      // A failure was counted and told by the exporter above; the other queue goes on all the same.
      await Promise.allSettled([kept.shutdown(), ordinary.shutdown()]);
      await exporter.shutdown();
    },
  };
}

function spanQueue(
  exporter: Pick<SpanExporter, 'export'>,
  batch: OtelSettings['batch'],
  maxQueueSize: number,
  drops: DropCounters,
): SpanQueue & { shutdown(): Promise<void> } {
  // The processor does not tell its length; it is known from what goes in and what it hands on.
  let queued = 0;
  const processor = new BatchSpanProcessor({
    exporter: {
      export(spans, done) {
        queued -= spans.length;
        exporter.export(spans, done);
      },
      shutdown: () => Promise.resolve(),
    },
    maxQueueSize,
    maxExportBatchSize: batch.maxExportBatchSize,
    scheduledDelayMillis: batch.scheduleDelayMs,
    exportTimeoutMillis: batch.exportTimeoutMs,
  });
  return {
    offer(spans) {
      if (queued + spans.length > maxQueueSize) {
        drops.queueFull.value += spans.length;
        return;
      }
      queued += spans.length;
      for (const span of spans) processor.onEnd(span);
    },
    shutdown: () => processor.shutdown(),
  };
}
