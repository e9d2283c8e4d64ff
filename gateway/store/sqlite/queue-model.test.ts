import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { queueCase, runQueueCase } from '../contract/queue-model.ts';
import { openDatabase } from './database.ts';
import { queuesDomain } from './queues.ts';
import { later, withDir } from './testing/samples.ts';

/** Together 10,000 cases. In parts, so that none takes long on a slow machine. */
const PARTS = 4;
const CASES = 2_500;

for (let part = 1; part <= PARTS; part++) {
  it(
    `the queues of SQLite do what a list of messages would do, in ${CASES} cases (${part} of ${PARTS})`,
    withDir(async (dir) => {
      const db = openDatabase({ path: join(dir, 'hearth.db'), maxBytes: null });
      try {
        // What a commit costs is not what is looked at here.
        db.exec('BEGIN');
        const store = later(queuesDomain(db));
        let cases = 0;
        const property = fc.asyncProperty(queueCase, (commands) => runQueueCase(store, commands, `q${++cases}`));
        await fc.assert(property, { numRuns: CASES });
        db.exec('COMMIT');
      } finally {
        db.close();
      }
    }),
  );
}
