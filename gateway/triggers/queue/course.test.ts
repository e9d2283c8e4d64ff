import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { openDatabase } from '../../store/sqlite/database.ts';
import { leasesDomain } from '../../store/sqlite/leases.ts';
import { queuesDomain } from '../../store/sqlite/queues.ts';
import { later } from '../../store/sqlite/testing/samples.ts';
import { queueCourse, runQueueCourse } from './testing/course.ts';

test('whatever dies, hangs, is throttled or killed in whatever order: nothing is lost, and nobody dies for another', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'hearth-course-'));
  const db = openDatabase({ path: join(dir, 'hearth.db'), maxBytes: null });
  try {
    // What a commit costs is not what is looked at here.
    db.exec('BEGIN');
    const store = { queues: later(queuesDomain(db)), leases: later(leasesDomain(db)) };
    let courses = 0;
    const property = fc.asyncProperty(queueCourse, (course) => runQueueCourse(store, course, `q${++courses}`));
    await fc.assert(property, { numRuns: 500 });
    db.exec('COMMIT');
  } finally {
    db.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
