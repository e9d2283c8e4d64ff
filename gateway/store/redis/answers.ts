/**
 * Answers kept under idempotency keys. Keys: answer:SCOPE, a line end, KEY (hash: request, owner, lease, expires; head and
 * body once there is an answer), answers-expiring (sorted set of the same names).
 */
import type { AnswerStore } from '../api/answers.ts';
import { asBytes, asJson, asList, asNumber, ownBytes } from './reply.ts';
import type { Database } from './script.ts';
import { SWEEP_PART, sweepAll } from './sweep.ts';

/** Whether the answer of this name is yet to come, and from this owner. */
const MINE = `
local key = P .. 'answer:' .. ARGV[1]
local kept = redis.call('HMGET', key, 'owner', 'head')
local mine = kept[1] == ARGV[2] and not kept[2]
`;

export function answersDomain(db: Database): AnswerStore {
  const begin = db.script(
    'answers.begin',
    `local key = P .. 'answer:' .. ARGV[1]
    local now = tonumber(ARGV[4])
    local kept = redis.call('HMGET', key, 'request', 'lease', 'expires', 'head', 'body')
    if kept[1] and tonumber(kept[3]) > now then
      if kept[1] ~= ARGV[2] then return 'mismatch' end
      if kept[4] then return {kept[4], kept[5]} end
      if tonumber(kept[2]) > now then return 'running' end
    end
    redis.call('UNLINK', key)
    redis.call('HSET', key, 'request', ARGV[2], 'owner', ARGV[3], 'lease', ARGV[5], 'expires', ARGV[6])
    redis.call('ZADD', P .. 'answers-expiring', ARGV[6], ARGV[1])
    return 'begin'`,
  );
  const extend = db.script(
    'answers.extend',
    `${MINE}
    if not mine then return 0 end
    redis.call('HSET', key, 'lease', ARGV[3])
    return 1`,
  );
  const finish = db.script(
    'answers.finish',
    `${MINE}
    if mine then redis.call('HSET', key, 'head', ARGV[3], 'body', ARGV[4]) end`,
  );
  const abandon = db.script(
    'answers.abandon',
    `${MINE}
    if not mine then return end
    redis.call('UNLINK', key)
    redis.call('ZREM', P .. 'answers-expiring', ARGV[1])`,
  );
  const sweep = db.script(
    'answers.sweep',
    `local gone = redis.call('ZRANGEBYSCORE', P .. 'answers-expiring', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, name in ipairs(gone) do
      redis.call('ZREM', P .. 'answers-expiring', name)
      redis.call('UNLINK', P .. 'answer:' .. name)
    end
    return #gone`,
  );

  return {
    async begin(scope, key, request, owner, { nowMs, leaseUntil, expiresAt }) {
      const found = await begin(nameOf(scope, key), request, owner, nowMs, leaseUntil, expiresAt);
      if (!Buffer.isBuffer(found)) {
        const [head, body] = asList(found);
        return { state: 'done', answer: { head: asJson<unknown>(head), body: ownBytes(asBytes(body)) } };
      }
      const state = found.toString();
      if (state !== 'begin' && state !== 'running' && state !== 'mismatch') throw new TypeError(`unknown: ${state}`);
      return { state };
    },
    extend: async (scope, key, owner, leaseUntil) => (await extend(nameOf(scope, key), owner, leaseUntil)) === 1,
    async finish(scope, key, owner, { head, body }) {
      await finish(nameOf(scope, key), owner, JSON.stringify(head), body);
    },
    async abandon(scope, key, owner) {
      await abandon(nameOf(scope, key), owner);
    },
    sweep: (nowMs, most) => sweepAll(most, async (part) => asNumber(await sweep(nowMs, part)), SWEEP_PART),
  };
}

/** A scope has no line end, so that no two pairs read as one. */
function nameOf(scope: string, key: string): string {
  return `${scope}\n${key}`;
}
