/** `hearth traffic` and `hearth rollback`: which versions serve. */
import type { AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { UsageError } from '../failure.ts';
import { jsonOf, pair } from '../input.ts';
import { plain, short, table } from '../output.ts';

export interface Traffic {
  split: { version: string; percent: number }[];
  rules?: { when: Record<string, Record<string, unknown>>; version: string }[];
  stickyBy?: Record<string, string>;
}

interface FunctionTraffic {
  name: string;
  traffic: Traffic | null;
}

export const traffic: AddCommand = (program, cli) => {
  program
    .command('traffic')
    .description('show which versions serve, or set it')
    .argument('<function>')
    .argument('[split...]', 'VERSION=PERCENT, by eight characters of the version; rules and stickyBy stay')
    .option('--set <file>', 'the whole setting: JSON of {split, rules, stickyBy}; - reads it from stdin')
    .addHelpText('after', '\nExample: hearth traffic shop 3fa9c1d2=90 77b0e4aa=10')
    .action(async (name: string, split: string[], options: { set?: string }) => {
      const client = cli.client();
      const path = `/v1/functions/${segment(name)}/traffic`;
      if (split.length > 0 && options.set !== undefined) throw new UsageError('It is either a split or --set.');
      if (split.length === 0 && options.set === undefined) {
        const now = await client.call<{ traffic: Traffic | null; previous: Traffic | null }>('GET', path);
        cli.show(now, () => `${shown(now.traffic)}\n\nA rollback leads to:\n${shown(now.previous)}`);
        return;
      }
      const wanted = split.map(armOf);
      const json =
        options.set === undefined
          ? { ...(await client.call<{ traffic: Traffic | null }>('GET', path)).traffic, split: wanted }
          : await jsonOf(options.set, cli);
      const now = await client.call<FunctionTraffic>('PUT', path, { json });
      cli.show(now, () => shown(now.traffic));
    });
};

export const rollback: AddCommand = (program, cli) => {
  program
    .command('rollback')
    .description('go back to the traffic before the last change')
    .argument('<function>')
    .action(async (name: string) => {
      const now = await cli.client().call<FunctionTraffic>('POST', `/v1/functions/${segment(name)}/rollback`);
      cli.show(now, () => shown(now.traffic));
    });
};

function armOf(text: string): { version: string; percent: number } {
  const [version, percent] = pair(text, 'VERSION=PERCENT');
  if (!/^\d+(\.\d+)?$/.test(percent)) throw new UsageError(`${JSON.stringify(text)}: ${percent} is no percentage.`);
  return { version, percent: Number(percent) };
}

function shown(setting: Traffic | null): string {
  if (setting === null) return 'no version serves';
  const rules = (setting.rules ?? []).map(
    ({ when, version }, at) => `rule ${at + 1}: ${JSON.stringify(when)} → ${short(version)}`,
  );
  const sticky = setting.stickyBy === undefined ? [] : [`sticky by: ${JSON.stringify(setting.stickyBy)}`];
  const split = setting.split.map(({ version, percent }) => [short(version), `${percent} %`]);
  return [table(['VERSION', 'TRAFFIC'], split), ...[...rules, ...sticky].map(plain)].join('\n');
}
