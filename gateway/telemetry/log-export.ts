/**
 * Log lines of functions on their way out: a bounded queue over an OTLP exporter, one batch after another. What does not fit
 * is dropped and counted; it still stands in Hearth's own log.
 */
import type { SeverityNumber } from '@opentelemetry/api';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import type { Resource } from '@opentelemetry/resources';
import { watchExport } from './export-watch.ts';
import { hrTime } from './finished-span.ts';
import type { FunctionLogLine } from './function-logs.ts';
import type { CounterCell } from './instruments.ts';
import type { Logger } from './log.ts';
import { ATTR, HEARTH_ATTR, SCOPE } from './names.ts';
import type { BatchSettings, OtlpTarget } from './otel-settings.ts';
import { otlpOptions } from './otlp-options.ts';

export interface LogExport {
  offer(line: FunctionLogLine): void;
  /** Exports what is queued, as far as the collector takes it. */
  shutdown(): Promise<void>;
}

export interface LogExportOptions {
  target: OtlpTarget;
  batch: BatchSettings;
  resource: Resource;
  dropped: CounterCell;
  log: Logger;
}

type LogRecord = Parameters<OTLPLogExporter['export']>[0][number];

/** Of OpenTelemetry's scale. */
const SEVERITY: Record<FunctionLogLine['level'], SeverityNumber> = { trace: 1, debug: 5, info: 9, warn: 13, error: 17 };

export function startLogExport({ target, batch, resource, dropped, log }: LogExportOptions): LogExport {
  const exporter = new OTLPLogExporter(otlpOptions(target));
  const observe = watchExport(log, 'logs', target.url);
  let queue: FunctionLogLine[] = [];
  let timer: NodeJS.Timeout | null = null;
  let sending: Promise<void> | null = null;

  function send(): Promise<void> {
    const lines = queue.slice(0, batch.maxExportBatchSize);
    queue = queue.slice(lines.length);
    return new Promise((resolve) => {
      exporter.export(
        lines.map((line) => recordOf(line, resource)),
        (result) => {
          if (result.code !== ExportResultCode.SUCCESS) dropped.value += lines.length;
          observe(result);
          resolve();
        },
      );
    });
  }

  function begin(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    sending ??= send().then(() => {
      sending = null;
      if (queue.length > 0) plan();
    });
  }

  function plan(): void {
    if (queue.length >= batch.maxExportBatchSize) begin();
    else timer ??= setTimeout(begin, batch.scheduleDelayMs).unref();
  }

  return {
    offer(line) {
      if (queue.length >= batch.maxQueueSize) {
        dropped.value++;
        return;
      }
      queue.push(line);
      if (sending === null) plan();
    },
    async shutdown() {
      while (queue.length > 0 || sending !== null) {
        begin();
        await sending;
      }
      await exporter.shutdown();
    },
  };
}

function recordOf(line: FunctionLogLine, resource: Resource): LogRecord {
  const { traceId, spanId, invocationId, arm } = line;
  return {
    hrTime: hrTime(line.time),
    hrTimeObserved: hrTime(line.time),
    severityNumber: SEVERITY[line.level],
    severityText: line.level.toUpperCase(),
    body: line.message,
    resource,
    instrumentationScope: FUNCTIONS,
    attributes: {
      [ATTR.faasName]: line.function,
      [ATTR.faasVersion]: line.version,
      [ATTR.faasInstance]: line.instance,
      ...(invocationId === null ? {} : { [ATTR.faasInvocationId]: invocationId }),
      ...(arm === null ? {} : { [HEARTH_ATTR.arm]: arm }),
    },
    droppedAttributesCount: 0,
    ...(traceId === null || spanId === null ? {} : { spanContext: { traceId, spanId, traceFlags: 1 } }),
  };
}

const FUNCTIONS = { name: SCOPE };
