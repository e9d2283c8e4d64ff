/** What a module takes in the base of its group, and what is left of those that were replaced. */
import { setTimeout as wait } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { pssBytes } from '../load/proc.ts';
import { startHearth } from '../peers/hearth.ts';
import { figure, leastSquares, table } from '../report.ts';

export interface GroupDensity {
  points: { modules: number; pssBytes: number }[];
  replacements: { count: number; beforeBytes: number; afterBytes: number };
}

interface Pool {
  hosts: { pid: number | null; bases: { group?: string; modules?: unknown[] }[] }[];
}

const MANIFEST = { hearth: { group: 'bench', memoryMb: 16, keepAlive: 3600 } };

/** As small modules are: some routes, a body, a table. */
const source = (n: number) => `
const prices = new Map(Array.from({ length: 50 }, (_, i) => ['item-' + i, i * ${n + 1}]));
const routes: Record<string, (request: Request) => Response | Promise<Response>> = {
  '/price': (request) => Response.json({ price: prices.get(new URL(request.url).searchParams.get('item') ?? '') ?? null }),
  '/echo': async (request) => new Response(await request.text()),
};
export default {
  fetch: (request: Request) => routes[new URL(request.url).pathname]?.(request) ?? new Response('module ${n}'),
};`;

/** `settleMs`: how long memory is given back before it is looked at. */
export async function groupDensity(modules: number[], replacements: number, settleMs: number): Promise<GroupDensity> {
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
    points.push({ modules: count, pssBytes: await groupBytes(gateway, count) });
  }
  const beforeBytes = await groupBytes(gateway, deployed);
  for (let n = 1; n <= replacements; n++) await deploy('module-0', deployed + n);
  await wait(settleMs);
  // The version before the last one stands for a rollback.
  const afterBytes = await groupBytes(gateway, deployed + 1);
  return { points, replacements: { count: replacements, beforeBytes, afterBytes } };
}

async function groupBytes(gateway: TestGateway, modules: number): Promise<number> {
  const { body } = await gateway.api<Pool>('GET', '/v1/pool');
  const hosts = body.hosts.filter(({ bases }) => bases.some(({ group }) => group === 'bench'));
  const [host] = hosts;
  const standing = host?.bases[0]?.modules?.length;
  if (hosts.length !== 1 || standing !== modules || typeof host?.pid !== 'number') {
    throw new Error(
      `${modules} modules in one base were expected: ${JSON.stringify({ hosts: hosts.length, standing })}`,
    );
  }
  const bytes = pssBytes(host.pid);
  if (bytes === null) throw new Error('The memory of a host could not be read.');
  return bytes;
}

export function groupReport({ points, replacements }: GroupDensity): string {
  const mb = (bytes: number) => figure(bytes / 1024 ** 2, 1);
  const { slope, intercept } = leastSquares(points.map((each) => [each.modules, each.pssBytes]));
  const { count, beforeBytes, afterBytes } = replacements;
  return [
    table(
      ['one base of a group', 'MB'],
      [
        ['a module', figure(slope / 1024 ** 2, 2)],
        ['without modules, its host included', mb(intercept)],
        ...points.map((each) => [`with ${each.modules}`, mb(each.pssBytes)]),
        [`before ${count} replacements`, mb(beforeBytes)],
        ['after them', mb(afterBytes)],
      ],
    ),
    'PSS of the one host in which the base stands, ten seconds after the last deploy; each module was called once.',
  ].join('\n');
}
