/** A process of its own that enqueues without end and prints each id once it is acknowledged. Ended by SIGKILL. */
import { openSqliteStore } from '../client.ts';
import { messageOf } from './samples.ts';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: producer.ts DATABASE');
const store = await openSqliteStore({ path, log: console });
process.stdout.write('open\n');
for (let i = 0; ; i++) {
  const { ids } = await store.queues.enqueue('q', [messageOf(`m${i}`)], Date.now());
  process.stdout.write(`${ids.join('\n')}\n`);
}
