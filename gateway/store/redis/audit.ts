/** Who changed what, when. Key: audit (sorted set: number and record, by time). */
import type { AuditRecord, AuditStore } from '../api/audit.ts';
import { asTexts } from './reply.ts';
import type { Database } from './script.ts';

const NUMBER_LENGTH = 16;

export function auditDomain(db: Database): AuditStore {
  const append = db.script(
    'audit.append',
    `local n = redis.call('INCR', P .. 'audit-number')
    redis.call('ZADD', P .. 'audit', ARGV[1], string.format('%0${NUMBER_LENGTH}.0f', n) .. ARGV[2])`,
  );

  return {
    async append(record) {
      await append(record.time, JSON.stringify(record));
    },
    async list({ most, before }) {
      const from = before === null ? '+inf' : `(${before}`;
      const range = ['ZREVRANGEBYSCORE', 'audit', from, '-inf', 'LIMIT', 0, most] as const;
      return asTexts(await db.call(...range)).map((text) => JSON.parse(text.slice(NUMBER_LENGTH)) as AuditRecord);
    },
  };
}
