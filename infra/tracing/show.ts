/**
 * `npm run trace -- INVOCATION-ID`: draws the trace of an invocation in the terminal, as Jaeger has it. For a Jaeger
 * built from source (build.sh), which comes without its page, and for machines without a browser.
 * JAEGER_URL: where its query API is (http://localhost:16686).
 */

/** As Jaeger's query API has it; times in µs. */
export interface Span {
  spanID: string;
  operationName: string;
  references: { refType: string; spanID: string }[];
  startTime: number;
  duration: number;
  tags: { key: string; value: unknown }[];
}

const BAR_WIDTH = 40;

/** One line per span: children below their parent, a bar where it stands in the whole. */
export function drawTrace(spans: Span[]): string {
  const begin = Math.min(...spans.map(({ startTime }) => startTime));
  const end = Math.max(...spans.map(({ startTime, duration }) => startTime + duration));
  const perUs = BAR_WIDTH / Math.max(end - begin, 1);
  const ids = new Set(spans.map(({ spanID }) => spanID));
  const parentOf = (span: Span) =>
    span.references.find(({ refType, spanID }) => refType === 'CHILD_OF' && ids.has(spanID))?.spanID ?? null;
  const below = (parent: string | null, depth: number): { span: Span; label: string }[] =>
    spans
      .filter((span) => parentOf(span) === parent)
      .sort((a, b) => a.startTime - b.startTime || b.duration - a.duration)
      .flatMap((span) => [
        { span, label: `${'  '.repeat(depth)}${span.operationName}` },
        ...below(span.spanID, depth + 1),
      ]);

  const lines = below(null, 0);
  const width = Math.max(...lines.map(({ label }) => label.length));
  return lines
    .map(({ span, label }) => {
      const from = Math.min(Math.floor((span.startTime - begin) * perUs), BAR_WIDTH - 1);
      const bar = '█'.repeat(Math.max(1, Math.min(Math.round(span.duration * perUs), BAR_WIDTH - from)));
      const ms = (span.duration / 1000).toFixed(3).padStart(9);
      return `${label.padEnd(width)} ${ms} ms  ${`${' '.repeat(from)}${bar}`.padEnd(BAR_WIDTH)}${facts(span)}`;
    })
    .map((line) => line.trimEnd())
    .join('\n');
}

/** What the span of a trigger says of its invocation. */
function facts(span: Span): string {
  const value = (key: string) => span.tags.find((tag) => tag.key === key)?.value;
  if (!['server', 'consumer'].includes(String(value('span.kind'))) || value('faas.trigger') === undefined) return '';
  const start = value('faas.coldstart') === true ? 'cold' : 'warm';
  return `  ${value('faas.name')}, ${value('faas.trigger')}, ${start}`;
}

async function main(invocationId: string | undefined): Promise<number> {
  if (invocationId === undefined) {
    console.error('Usage: npm run trace -- INVOCATION-ID (the header hearth-invocation-id of an answer)');
    return 2;
  }
  const url = process.env.JAEGER_URL ?? 'http://localhost:16686';
  const query = new URLSearchParams({
    service: process.env.OTEL_SERVICE_NAME ?? 'hearth',
    tags: JSON.stringify({ 'faas.invocation_id': invocationId }),
    start: '0',
    end: String((Date.now() + 3_600_000) * 1000),
  });
  let answer: { data: { spans: Span[] }[] | null };
  try {
    answer = (await (await fetch(`${url}/api/traces?${query}`)).json()) as typeof answer;
  } catch (error) {
    console.error(`No Jaeger answers at ${url} (${(error as Error).message}); JAEGER_URL says where it is.`);
    return 1;
  }
  const traces = answer.data ?? [];
  if (traces.length === 0) {
    console.error(
      `Jaeger has no trace of invocation ${invocationId}. Spans are exported every five seconds, and only when Hearth ` +
        'runs with OTEL_EXPORTER_OTLP_ENDPOINT.',
    );
    return 1;
  }
  for (const { spans } of traces) console.log(drawTrace(spans));
  return 0;
}

if (import.meta.main) process.exitCode = await main(process.argv[2]);
