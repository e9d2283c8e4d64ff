import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { queueCase, runQueueCase } from '../contract/queue-model.ts';
import { openDatabase } from './database.ts';
import { queuesDomain } from './queues.ts';
import { later, withDir } from './testing/samples.ts';

it(
  'the queues of SQLite do what a list of messages would do, in 10,000 cases',
  withDir(async (dir) => {
    const db = openDatabase({ path: join(dir, 'hearth.db'), maxBytes: null });
    try {
      // What a commit costs is not what is looked at here.
      db.exec('BEGIN');
      const store = later(queuesDomain(db));
      let cases = 0;
      await fc.assert(
        fc.asyncProperty(queueCase, (commands) => runQueueCase(store, commands, `q${++cases}`)),
        { numRuns: 10_000 },
      );
      db.exec('COMMIT');
    } finally {
      db.close();
    }
  }),
);
