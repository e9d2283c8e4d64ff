/**
 * `node bench/soak/ticks.ts [--ticks 1000]`: three gateways on one Redis fire crons while they are killed, stopped and
 * woken; exit code 1 when a tick was not fired, or twice.
 */
import { parseArgs } from 'node:util';
import { ticks } from '../../gateway/cluster/testing/ticks.ts';

const { values } = parseArgs({ options: { ticks: { type: 'string', default: '1000' } } });
const least = Number(values.ticks);
if (!(least > 0)) {
  console.error(`--ticks: given ${JSON.stringify(values.ticks)}, allowed is a number above 0.`);
  process.exit(2);
}
const result = await ticks({ least, crons: 20, tell: (line) => console.log(line) });
console.log(
  `${result.ticks} ticks in ${result.rounds} rounds: ${result.missing.length} missing, ${result.twice.length} twice`,
);
const [middle = 0, longest = 0] = [0.5, 1].map(
  (part) => result.seenAfterMs[Math.ceil(part * result.seenAfterMs.length) - 1],
);
console.log(
  `a route published at one gateway: there at another after ${Math.round(middle)} ms (median), ${Math.round(longest)} ms at most`,
);
for (const which of ['missing', 'twice'] as const) for (const tick of result[which]) console.log(`${which}: ${tick}`);
if (result.missing.length + result.twice.length > 0) process.exitCode = 1;
