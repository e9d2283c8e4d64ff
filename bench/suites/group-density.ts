/** What a module takes in the base of its group, and what is left of those that were replaced. */
import { setTimeout as wait } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { pssBytes, rssBytes } from '../load/proc.ts';
import { startHearth } from '../peers/hearth.ts';
import { figure, leastSquares, table } from '../report.ts';

export interface GroupDensity {
  /** Of one module, as it was written. */
  sourceBytes: number;
  points: { modules: number; pssBytes: number }[];
  /** Of the group's host. */
  replacements: { count: number; before: Memory; after: Memory };
}

interface Memory {
  pssBytes: number;
  rssBytes: number;
}

interface Pool {
  hosts: { pid: number | null; bases: { group?: string; modules?: unknown[] }[] }[];
}

const MANIFEST = { hearth: { group: 'bench', memoryMb: 16, keepAlive: 3600 } };

/** As small modules are: some routes, a body, a table. */
const small = (n: number) => `
const prices = new Map(Array.from({ length: 50 }, (_, i) => ['item-' + i, i * ${n + 1}]));
const routes: Record<string, (request: Request) => Response | Promise<Response>> = {
  '/price': (request) => Response.json({ price: prices.get(new URL(request.url).searchParams.get('item') ?? '') ?? null }),
  '/echo': async (request) => new Response(await request.text()),
};
export default {
  fetch: (request: Request) => routes[new URL(request.url).pathname]?.(request) ?? new Response('module ${n}'),
};`;

/** The same with some hundred functions more, each called once: about as much code as an application of a few weeks. */
const large = (n: number) => {
  const rule = (i: number) => `
function rule${i}(order: { lines: { price: number; quantity: number }[]; country: string }): number {
  const total = order.lines.reduce((sum, { price, quantity }) => sum + price * quantity, ${i});
  return order.country === 'country-${n}-${i}' ? total * ${i + 2} : total > 1000 ? total - ${n} : total;
}`;
  const numbers = Array.from({ length: 150 }, (_, i) => i);
  return `${numbers.map(rule).join('')}
const rules = [${numbers.map((i) => `rule${i}`).join(', ')}];
export const total = rules.reduce((sum, rule) => sum + rule({ lines: [{ price: 1, quantity: 2 }], country: 'none' }), 0);
${small(n)}`;
};

const KINDS = { small, large };
type Kind = keyof typeof KINDS;

export async function groupDensity(
  modules: number[],
  replacements: number,
  settleMs: number,
): Promise<Record<Kind, GroupDensity>> {
  return {
    small: await measured(small, modules, replacements, settleMs),
    large: await measured(large, modules, replacements, settleMs),
  };
}

/** `settleMs`: how long memory is given back before it is looked at. */
async function measured(
  source: (n: number) => string,
  modules: number[],
  replacements: number,
  settleMs: number,
): Promise<GroupDensity> {
  // One base a host: its process is the group's alone.
  await using hearth = await startHearth({ env: { HEARTH_WARM_BASES: '2', HEARTH_BASES_PER_HOST: '1' } });
  const { gateway } = hearth;
  const deploy = async (name: string, n: number) => {
    await gateway.deploy(name, { 'index.ts': source(n) }, { manifest: MANIFEST });
    const response = await fetch(`${gateway.url}/${name}/price?item=item-7`);
    if (response.status !== 200) throw new Error(`${name} answered ${response.status}: ${await response.text()}`);
    await response.body?.cancel();
  };
  const points: GroupDensity['points'] = [];
  let deployed = 0;
  for (const count of modules) {
    for (; deployed < count; deployed++) await deploy(`module-${deployed}`, deployed);
    await wait(settleMs);
    points.push({ modules: count, pssBytes: (await groupMemory(gateway, count)).pssBytes });
  }
  const before = await groupMemory(gateway, deployed);
  for (let n = 1; n <= replacements; n++) await deploy('module-0', deployed + n);
  await wait(settleMs);
  const after = await groupMemory(gateway, deployed);
  return {
    sourceBytes: Buffer.byteLength(source(0)),
    points,
    replacements: { count: replacements, before, after },
  };
}

async function groupMemory(gateway: TestGateway, modules: number): Promise<Memory> {
  const { body } = await gateway.api<Pool>('GET', '/v1/pool');
  const hosts = body.hosts.filter(({ bases }) => bases.some(({ group }) => group === 'bench'));
  const [host] = hosts;
  const standing = host?.bases[0]?.modules?.length ?? 0;
  // The version before the last one may stand there for a rollback.
  const expected = standing === modules || standing === modules + 1;
  if (hosts.length !== 1 || !expected || typeof host?.pid !== 'number') {
    throw new Error(
      `${modules} modules in one base were expected: ${JSON.stringify({ hosts: hosts.length, standing })}`,
    );
  }
  const [pss, rss] = [pssBytes(host.pid), rssBytes(host.pid)];
  if (pss === null || rss === null) throw new Error('The memory of a host could not be read.');
  return { pssBytes: pss, rssBytes: rss };
}

export function groupReport(groups: Record<Kind, GroupDensity>): string {
  const mb = (bytes: number | undefined) => (bytes === undefined ? 'n/a' : figure(bytes / 1024 ** 2, 1));
  const all = Object.entries(groups);
  const { points, replacements } = groups.small;
  const rows = all.map(([kind, group]) => {
    const { slope, intercept } = leastSquares(group.points.map((each) => [each.modules, each.pssBytes]));
    const { before, after } = group.replacements;
    return [
      `${kind}, ${figure(group.sourceBytes / 1024, 1)} KB`,
      figure(slope / 1024 ** 2, 2),
      mb(intercept),
      ...group.points.map(({ pssBytes: bytes }) => mb(bytes)),
      `${mb(before.pssBytes)} → ${mb(after.pssBytes)}`,
      `${mb(before.rssBytes)} → ${mb(after.rssBytes)}`,
    ];
  });
  const header = [
    'modules of one group, MB',
    'a module',
    'without any',
    ...points.map(({ modules }) => `with ${modules}`),
    `PSS, ${replacements.count} replacements`,
    'RSS',
  ];
  return [
    table(header, rows),
    'PSS of the one host in which the base stands, ten seconds after the last deploy; a module: slope by least squares. Each module was called once. Replaced was one of them, again and again, each time called once.',
  ].join('\n');
}
