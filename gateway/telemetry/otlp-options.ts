/** A target of the settings, in the words of the official exporters. */
import type { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import type { OtlpTarget } from './otel-settings.ts';

type ExporterOptions = NonNullable<ConstructorParameters<typeof OTLPTraceExporter>[0]>;

export function otlpOptions(target: OtlpTarget) {
  return {
    url: target.url,
    headers: target.headers,
    timeoutMillis: target.timeoutMs,
    // The values of an enum that the exporters do not export.
    compression: target.compression as NonNullable<ExporterOptions['compression']>,
  };
}
