import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openDatabase } from './database.ts';
import { queuesDomain } from './queues.ts';
import { messageOf, withDir } from './testing/samples.ts';

const NOW = 1_800_000_000_000;
const DAY = 24 * 60 * 60 * 1000;

describe('queues in SQLite', () => {
  it(
    'find by index, never by going through messages, with 10,000 of them: claims without sorting',
    withDir((dir) => {
      const db = openDatabase({ path: join(dir, 'hearth.db'), maxBytes: null });
      try {
        const statements = new Set<string>();
        const queues = queuesDomain({
          ...db,
          sql(text) {
            statements.add(text);
            return db.sql(text);
          },
        });
        db.exec('BEGIN');
        for (let i = 0; i < 10_000; i += 100) {
          const messages = Array.from({ length: 100 }, (_, j) => messageOf(`m${i + j}`));
          queues.enqueue(i % 200 === 0 ? 'q' : 'other', messages, NOW);
        }
        db.exec('COMMIT');

        const held = queues.claim('q', { most: 30, nowMs: NOW, leaseUntil: NOW + 10, owner: 'test' });
        const [a, b, c] = held.map(({ id, fence }) => ({ id, fence }));
        queues.extend('q', held, NOW + 20);
        queues.settle(
          'q',
          [
            { ...a!, verdict: 'ack' },
            { ...b!, verdict: 'retry', dueAt: NOW, countAttempt: true, reason: '' },
            { ...c!, verdict: 'dead', reason: '' },
          ],
          NOW,
        );
        queues.nextDue('q');
        queues.stats('q', NOW);
        queues.dead('q', { most: 10, cursor: null });
        queues.redrive('q', [c!.id], NOW);
        queues.redrive('q', 'all', NOW);
        queues.purge('q');

        const plans = new Map<string, number>();
        for (const text of statements) {
          const steps = db.sql(`EXPLAIN QUERY PLAN ${text}`).all();
          for (const step of steps.map(({ detail }) => String(detail))) {
            assert.doesNotMatch(step, /SCAN (?!CONSTANT)|TEMP B-TREE FOR ORDER BY/, text);
            // All that is in flight in a queue is no search.
            if (!text.includes('min(due_at)'))
              assert.doesNotMatch(step, /messages_due \(queue=\? AND leased=\?\)$/, text);
            plans.set(step, (plans.get(step) ?? 0) + 1);
          }
        }
        assert.equal(
          plans.get('SEARCH m USING INDEX messages_due (queue=? AND leased=? AND due_at<?)'),
          2,
          'both claims',
        );
        assert.equal(
          plans.get('SEARCH messages USING INDEX messages_id (queue=? AND id=?)'),
          5,
          'what names a message',
        );
      } finally {
        db.close();
      }
    }),
  );

  it(
    'forget ids after a day, a few with each enqueue',
    withDir((dir) => {
      const db = openDatabase({ path: join(dir, 'hearth.db'), maxBytes: null });
      try {
        const queues = queuesDomain(db);
        const count = () => db.sql('SELECT count(*) AS n FROM seen_ids').get()?.n;
        queues.enqueue(
          'q',
          Array.from({ length: 100 }, (_, i) => messageOf(`m${i}`)),
          NOW,
        );
        assert.equal(count(), 100);
        queues.enqueue('q', [messageOf('x')], NOW + DAY - 1);
        assert.equal(count(), 101);
        queues.enqueue('q', [messageOf('y')], NOW + DAY);
        assert.equal(count(), 51);
        queues.enqueue('q', [messageOf('z')], NOW + DAY);
        assert.equal(count(), 3);
      } finally {
        db.close();
      }
    }),
  );
});
