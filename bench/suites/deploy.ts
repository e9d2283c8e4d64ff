/**
 * Deploys: from the request sent to the first answer served, beside an ordinary Node service that is rebuilt and
 * restarted; a thousand deploys of one function; ten thousand functions registered.
 */
import { Connection } from '../load/connection.ts';
import { type HearthPeer, startHearth, untilWarm } from '../peers/hearth.ts';
import { type Service, startService } from '../peers/service.ts';
import { figure, median, percentile, quoted, ratio, table } from '../report.ts';
import { deployMany, type Growth, type Registered, registerMany } from './registered.ts';

export interface DeployOptions {
  rounds: number;
  /** Over all rounds. */
  deploys: number;
  /** Rebuilds and restarts of each kind of service, over all rounds. */
  services: number;
  /** Deploys of one function, one after another. */
  versions: number;
  /** Functions registered. */
  registered: number;
}

/** What an author writes; types and all. */
const source = (id: string) => `interface Greeting {
  id: string;
  name: string | null;
}

function greet(url: URL): Greeting {
  return { id: '${id}', name: url.searchParams.get('name') };
}

export default {
  async fetch(request: Request): Promise<Response> {
    const greeting = greet(new URL(request.url));
    return new Response(greeting.name === null ? greeting.id : \`\${greeting.id} \${greeting.name}\`);
  },
};
`;

type Times = Record<string, number[][]>;

/** Of the same source. */
const GROUPED = 'hearth, module of a group';
const GROUP = { hearth: { group: 'bench' } };

export async function deploy(options: DeployOptions): Promise<{ text: string; data: unknown }> {
  const times = await compare(options);
  const growth = await deployMany(options.versions, source);
  const registered = await registerMany(options.registered);
  return { text: report(times, growth, registered), data: { options, times, growth, registered } };
}

async function compare({ rounds, deploys, services }: DeployOptions): Promise<Times> {
  await using stack = new AsyncDisposableStack();
  const hearth = stack.use(await startHearth());
  const ordinary: Service[] = [
    stack.use(await startService('esbuild + node')),
    stack.use(await startService('npm run build (tsc) + npm start')),
  ];
  // A neighbour, so that a base stands into which each new version comes.
  await hearth.gateway.deploy('beside', { 'index.ts': source('beside') }, { manifest: GROUP });
  const times: Times = { hearth: [], [GROUPED]: [], ...Object.fromEntries(ordinary.map(({ name }) => [name, []])) };
  for (let round = 0; round < rounds; round++) {
    times.hearth?.push(await repeat(Math.ceil(deploys / rounds), (index) => deployOnce(hearth, `v${round}-${index}`)));
    times[GROUPED]?.push(
      await repeat(Math.ceil(deploys / rounds), (index) => deployOnce(hearth, `v${round}-${index}`, GROUP)),
    );
    for (const service of ordinary) {
      const each = await repeat(Math.ceil(services / rounds), (index) => service.redeploy(`v${round}-${index}`));
      times[service.name]?.push(each);
    }
  }
  return times;
}

async function repeat(count: number, work: (index: number) => Promise<number>): Promise<number[]> {
  const found: number[] = [];
  for (let index = 0; index < count; index++) found.push(await work(index));
  return found;
}

/** Ms from the first byte of the deploy to the last of the new version's first answer. */
async function deployOnce({ gateway, port }: HearthPeer, id: string, manifest?: object): Promise<number> {
  await untilWarm(gateway, 1);
  const control = await new Connection(Number(new URL(gateway.adminUrl).port), { keepBody: true }).opened();
  const traffic = await new Connection(port, { keepBody: true }).opened();
  try {
    const name = manifest === undefined ? 'edited' : 'edited-in-group';
    const begun = performance.now();
    const taken = await control.request({
      method: 'PUT',
      path: `/v1/functions/${name}`,
      headers: {
        authorization: `Bearer ${gateway.token}`,
        'content-type': manifest === undefined ? 'text/typescript' : 'application/json',
      },
      body: manifest === undefined ? source(id) : JSON.stringify({ manifest, files: { 'index.ts': source(id) } }),
    });
    if (taken.status !== 201) throw new Error(`the deploy was answered with ${taken.status}: ${taken.body}`);
    const answer = await traffic.get(`/${name}`);
    const ms = performance.now() - begun;
    if (answer.body !== id) throw new Error(`${id} was deployed, and ${answer.status} ${answer.body} answered`);
    return ms;
  } finally {
    control.close();
    traffic.close();
  }
}

function report(times: Times, growth: Growth, registered: Registered): string {
  const middle = (rounds: number[][] = []) => median(rounds.map((round) => percentile(round, 50)));
  const rows = Object.entries(times).map(([name, rounds]) => {
    const all = rounds.flat();
    return [
      name,
      ratio(middle(rounds), middle(times.hearth)),
      figure(middle(rounds), 1),
      figure(quoted(percentile(all, 90), 90, all.length), 1),
      figure(Math.max(...all), 1),
      String(all.length),
    ];
  });
  const mb = (bytes: number | undefined) => figure(bytes === undefined ? null : bytes / 1024 ** 2, 0);
  const percent = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? 'n/a' : `${to >= from ? '+' : ''}${figure((to / from - 1) * 100, 1)} %`;
  const tenth = growth.points[1];
  const last = growth.points.at(-1);
  const parts = (['gateway', 'hosts', 'builder'] as const).map((part) => [
    part,
    percent(tenth?.[part], last?.[part]),
    ...growth.points.map((point) => mb(point[part])),
  ]);
  return [
    table(['deploy', '÷ hearth p50', 'p50 ms', 'p90 ms', 'max ms', 'deploys'], rows),
    'From the request sent (the edited source standing there) to the first answer served that is the new one. p50: median of the rounds.',
    table(
      [
        `${growth.deploys} deploys of one function, RSS MB`,
        'growth',
        ...growth.points.map(({ after }) => `after ${after}`),
      ],
      parts,
    ),
    `growth: from ${tenth?.after} deploys to ${last?.after}.`,
    table(
      ['registered', 'ready ms', 'gateway RSS MB', '5 s later', 'first call'],
      [
        [
          'none',
          figure(registered.empty.readyMs, 0),
          mb(registered.empty.rssBytes),
          mb(registered.empty.settledRssBytes),
          '',
        ],
        [
          String(registered.functions),
          figure(registered.full.readyMs, 0),
          mb(registered.full.rssBytes),
          mb(registered.full.settledRssBytes),
          registered.full.firstCall,
        ],
      ],
    ),
    'ready: from the start of the process to its line `ready`, 2 warm bases wanted. The functions were written through the store, each as a deploy writes it: record, artifact with code cache, traffic.',
  ].join('\n');
}
