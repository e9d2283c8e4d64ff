/** Dashboards, alerts and what the autoscaler goes by ask for metrics and labels that a gateway really gives. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { startGateway, type TestGateway } from '../gateway/testing/gateway.ts';

const HERE = import.meta.dirname;

/** What Prometheus adds to whatever it scrapes. */
const SCRAPED = { metrics: ['up'], labels: ['instance', 'job', 'namespace', 'pod', 'le'] };

interface Query {
  from: string;
  expr: string;
}
interface Panel {
  title: string;
  type: string;
  id: number;
  datasource?: { uid: string };
  targets?: { expr: string; datasource: { uid: string } }[];
}
interface Dashboard {
  panels: Panel[];
  templating: { list: { name: string; query: { query: string } }[] };
}
interface Rules {
  groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
}

const read = (path: string) => readFileSync(join(HERE, path), 'utf8');
const dashboards = readdirSync(join(HERE, 'grafana/dashboards')).map(
  (file) => JSON.parse(read(`grafana/dashboards/${file}`)) as Dashboard,
);
const rules = parse(read('prometheus/rules.yaml')) as Rules;
const alerts = rules.groups.flatMap((group) => group.rules);

const queries: Query[] = [
  ...dashboards.flatMap(({ panels }) =>
    panels.flatMap(({ title, targets }) => targets?.map(({ expr }) => ({ from: title, expr: filledIn(expr) })) ?? []),
  ),
  ...alerts.map(({ alert, expr }) => ({ from: alert, expr })),
  ...adapterRules().map((expr) => ({ from: 'prometheus-adapter', expr })),
];

let gateway: TestGateway;
/** Metric → names of its labels. */
let given: Map<string, Set<string>>;

before(async () => {
  gateway = await startGateway({ env: { HEARTH_DISK_MB: '1000' } });
  await gateway.deploy('fails', 'export default { fetch() { throw new Error("on purpose"); } };');
  await gateway.deploy('late', 'export default { fetch: () => new Promise(() => undefined) };', {
    manifest: { hearth: { timeoutMs: 50 } },
  });
  const answers = 'export default { fetch: () => new Response("x"), queue() {} };';
  await gateway.deploy('works', answers, { manifest: { queues: { consumers: [{ queue: 'watched' }] } } });
  await gateway.api('POST', '/v1/functions/works/evict');
  for (const name of ['works', 'fails', 'late']) await (await fetch(`${gateway.url}/${name}`)).text();
  await gateway.api('POST', '/v1/queues/watched/messages', { messages: [{ body: 1 }] });
  // The depth of a queue is read now and then.
  const limit = AbortSignal.timeout(90_000);
  do given = labelsOf(await (await fetch(`${gateway.adminUrl}/metrics`, { signal: limit })).text());
  while (!given.has('hearth_queue_depth') && (await new Promise((resolve) => setTimeout(resolve, 200, true))));
});

after(() => gateway?.[Symbol.asyncDispose]());

test('each query is PromQL', () => {
  assert.ok(queries.length > 30);
  for (const { from, expr } of queries) assert.deepEqual(readQuery(expr).errors, [], `${from}: ${expr}`);
  assert.deepEqual(readQuery('sum by (a (rate(b[5m]))').errors.length > 0, true);
});

test('each metric and each label that is asked for is one that a gateway gives', () => {
  for (const { from, expr } of queries) {
    const { metrics, labels } = readQuery(expr);
    assert.ok(metrics.length > 0, from);
    const known = new Set([...SCRAPED.labels, ...metrics.flatMap((metric) => [...(given.get(metric) ?? [])])]);
    for (const metric of metrics)
      assert.ok(given.has(metric) || SCRAPED.metrics.includes(metric), `${from}: ${metric}`);
    for (const label of labels) assert.ok(known.has(label), `${from}: no metric of ${expr} has the label ${label}`);
  }
});

test('each metric of a gateway is on a dashboard', () => {
  const shown = new Set(queries.flatMap(({ expr }) => readQuery(expr).metrics.map(familyOf)));
  assert.deepEqual(
    [...given.keys()].map(familyOf).filter((metric) => !shown.has(metric)),
    // Of several pools alone: what the buffer has lent.
    ['hearth_pool_borrowed'],
    'a metric that nobody sees: add a panel to infra/grafana/dashboards/hearth.json',
  );
});

test('alerts are a valid PrometheusRule, and say what they are about and what to do', () => {
  new PrometheusRule({ metadata: { name: 'hearth' }, spec: rules as never }).validate();
  for (const { alert, expr, annotations } of alerts) {
    assert.ok(annotations.summary !== undefined && annotations.description !== undefined, alert);
    // A label that the expression leaves away would be empty in the text.
    const kept = [...`${annotations.summary}${annotations.description}`.matchAll(/\$labels\.(\w+)/g)].map(
      ([, name]) => name!,
    );
    for (const label of kept) assert.ok(expr.includes(label) || alert === 'HearthDown', `${alert}: ${label}`);
  }
});

test('variables of a dashboard are asked of metrics that are there, and its panels of a source that is provisioned', () => {
  const sources = (parse(read('grafana/provisioning/datasources/hearth.yaml')) as { datasources: { uid: string }[] })
    .datasources;
  const uids = sources.map(({ uid }) => uid);
  for (const { panels, templating } of dashboards) {
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const { type, title, datasource, targets } of panels) {
      if (type === 'row') continue;
      assert.ok(targets !== undefined && targets.length > 0, title);
      for (const { uid } of [datasource!, ...targets.map((target) => target.datasource)])
        assert.ok(uids.includes(uid), title);
    }
    for (const { query } of templating.list) {
      const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(query.query) ?? [];
      assert.ok(given.get(metric)?.has(label), query.query);
    }
    const text = JSON.stringify(panels);
    for (const { name } of templating.list) assert.ok(text.includes(`$${name}`), name);
  }
});

/** Grafana's own variables, and the board's. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$\w+/g, 'x');
}

/** What prometheus-adapter fills in is a list of labels, and their matchers. */
function adapterRules(): string[] {
  const values = parse(read('kubernetes/adapter/values.yaml')) as {
    rules: { custom: { seriesQuery: string; metricsQuery: string }[] };
  };
  return values.rules.custom.flatMap(({ seriesQuery, metricsQuery }) => [
    seriesQuery,
    metricsQuery.replaceAll('<<.GroupBy>>', 'pod').replaceAll('<<.LabelMatchers>>', 'namespace="hearth"'),
  ]);
}

function readQuery(expr: string): { metrics: string[]; labels: string[]; errors: string[] } {
  const metrics: string[] = [];
  const labels: string[] = [];
  const errors: string[] = [];
  parser.parse(expr).iterate({
    enter({ type, name, from, to, node }) {
      const text = expr.slice(from, to);
      if (type.isError) errors.push(`at ${from}: ${text}`);
      if (name === 'Identifier' && node.parent?.name === 'VectorSelector') metrics.push(text);
      if (name === 'LabelName') labels.push(text);
    },
  });
  return { metrics, labels, errors };
}

function labelsOf(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of text.split('\n')) {
    const [, metric, labels = ''] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (metric === undefined) continue;
    const names = found.getOrInsertComputed(metric, () => new Set());
    for (const [, name] of labels.matchAll(/(?:^|,)(\w+)="/g)) names.add(name!);
  }
  return found;
}

function familyOf(metric: string): string {
  return metric.replace(/_(bucket|sum|count)$/, '');
}
