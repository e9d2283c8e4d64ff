/** `hearth rollout`: new versions take the traffic step by step, under guard. */
import type { Command } from 'commander';
import type { AddCommand, Cli } from '../cli.ts';
import { segment } from '../client.ts';
import { UsageError } from '../failure.ts';
import { jsonOf, number, pair } from '../input.ts';
import { facts, plain, short, table, time } from '../output.ts';

interface Rollout {
  id: string;
  state: string;
  step: number;
  percent: number;
  why: string | null;
  steps: { percent: number; beta: unknown; pauseSeconds: number; confirm: boolean }[];
  functions: { name: string; version: string }[];
  createdAt: string;
  endedAt: string | null;
}

interface StartOptions {
  steps?: string;
  pause?: number;
  confirm?: true;
  guard: boolean;
  set?: string;
}

export const rollout: AddCommand = (program, cli) => {
  const rollouts = program.command('rollout').description('move traffic to new versions step by step, under guard');
  rollouts
    .command('start')
    .description('begin one; functions given together move together')
    .argument('[function=version...]', 'deployed before, with --no-activate')
    .option('--steps <percents>', 'such as 5,25,100 (default: 5,25,100)')
    .option('--pause <seconds>', 'for which each step is watched (default: 60)', number)
    .option('--confirm', 'after each step wait for "hearth rollout confirm"')
    .option('--no-guard', 'nobody watches error rate, latency and cold starts')
    .option('--set <file>', 'the whole request as JSON, for beta steps and a guard of your own; - reads it from stdin')
    .action(async (functions: string[], options: StartOptions) => {
      if ((functions.length === 0) === (options.set === undefined)) {
        throw new UsageError('Name functions as NAME=VERSION, or give the request with --set.');
      }
      const json = options.set === undefined ? requestOf(functions, options) : await jsonOf(options.set, cli);
      showOne(cli, await cli.client().call<Rollout>('POST', '/v1/rollouts', { json }));
    });
  rollouts
    .command('ls')
    .description('list rollouts, newest first')
    .action(async () => {
      const answer = await cli.client().call<{ rollouts: Rollout[] }>('GET', '/v1/rollouts');
      cli.show(answer, () =>
        table(
          ['ID', 'STATE', 'STEP', 'NEW', 'FUNCTIONS', 'BEGAN'],
          answer.rollouts.map((one) => [
            one.id,
            one.state,
            `${one.step} of ${one.steps.length}`,
            `${one.percent} %`,
            one.functions.map(({ name }) => name),
            time(one.createdAt),
          ]),
        ),
      );
    });
  rollouts
    .command('show')
    .description('show one')
    .argument('<id>')
    .action(async (id: string) => showOne(cli, await cli.client().call<Rollout>('GET', `/v1/rollouts/${segment(id)}`)));
  changes(rollouts, cli);
};

const ACTIONS = {
  pause: 'stay at this step',
  resume: 'go on after a pause',
  confirm: 'on to the next step, now',
  abort: 'back to the traffic before it',
};

function changes(rollouts: Command, cli: Cli): void {
  for (const [action, description] of Object.entries(ACTIONS)) {
    rollouts
      .command(action)
      .description(description)
      .argument('<id>')
      .action(async (id: string) =>
        showOne(cli, await cli.client().call<Rollout>('PATCH', `/v1/rollouts/${segment(id)}`, { json: { action } })),
      );
  }
}

function requestOf(functions: readonly string[], { steps = '5,25,100', pause, confirm, guard }: StartOptions) {
  const ending = {
    ...(pause === undefined ? {} : { pauseSeconds: pause }),
    ...(confirm === undefined ? {} : { confirm }),
  };
  return {
    functions: functions.map((given) => {
      const [name, version] = pair(given, 'NAME=VERSION');
      return { name, version };
    }),
    steps: steps.split(',').map((text) => {
      const percent = Number(text);
      if (!(percent > 0)) throw new UsageError(`--steps ${steps}: ${JSON.stringify(text)} is no percentage.`);
      // Behind the last step there is nothing to wait for.
      return percent === 100 ? { percent } : { percent, ...ending };
    }),
    ...(guard ? {} : { guard: false }),
  };
}

function showOne(cli: Cli, one: Rollout): void {
  cli.show(one, () => {
    const steps = one.steps.map((step, at) => [
      at + 1 === one.step ? '→' : '',
      step.beta === null ? `${step.percent} %` : `beta ${plain(JSON.stringify(step.beta))}`,
      `${step.pauseSeconds} s${step.confirm ? ', then confirm' : ''}`,
    ]);
    const about = facts([
      ['rollout', one.id],
      ['state', one.state],
      ['functions', one.functions.map(({ name, version }) => `${name} ${short(version)}`)],
      ...(one.why === null ? [] : [['why', one.why] as const]),
    ]);
    return `${about}\n\n${table(['', 'NEW VERSIONS', 'FOR'], steps)}`;
  });
}
