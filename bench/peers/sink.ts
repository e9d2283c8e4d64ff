import { join } from 'node:path';
import { endServer, freePort, startServer } from './process.ts';

export interface Sink extends AsyncDisposable {
  /** Settings that make a gateway export to it: traces at 1 %, and metrics. */
  readonly env: Record<string, string>;
}

/** A process that takes OTLP, so that export costs what it costs. */
export async function startSink(): Promise<Sink> {
  const port = await freePort();
  const child = await startServer(process.execPath, [join(import.meta.dirname, 'sink-server.ts'), String(port)], port);
  return {
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.01',
    },
    [Symbol.asyncDispose]: () => endServer(child),
  };
}
