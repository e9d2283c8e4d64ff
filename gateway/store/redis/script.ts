/**
 * What all scripts share. A script is one atomic operation of the store. Its only declared key is the mark of the store
 * it was opened on: where that is missing, the data is another one, and nothing is read or written.
 *
 * All keys begin with the same hash tag, so that a cluster has them in one slot and a script may name any of them.
 */
import { createHash } from 'node:crypto';
import type { Arg, Connection, Reply } from './connection.ts';
import { GONE } from './errors.ts';

export const PREFIX = '{hearth}:';

export interface Database {
  /** Makes a script of the store known; to be called before the first use. Its arguments are ARGV. */
  script(name: string, lua: string): (...args: Arg[]) => Promise<Reply>;
  /** A single command as a script; the key without PREFIX. */
  call(command: string, key: string, ...args: Arg[]): Promise<Reply>;
}

export function databaseOver(connection: Connection, mark: () => string): Database {
  const script: Database['script'] = (name, lua) => {
    const run = connection.script(nameOf(name, lua), `${CHECK}${lua}`);
    return (...args) => run(mark(), ...args);
  };
  return { script, call: script('call', `return redis.call(ARGV[1], P .. ARGV[2], unpack(ARGV, 3))`) };
}

/** Unlike any command of Redis, and its own for each text. */
function nameOf(name: string, lua: string): string {
  return `hearth.${name}.${createHash('sha1').update(lua).digest('hex').slice(0, 8)}`;
}

const CHECK = `
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('${GONE} the mark of the store is missing') end
local P = '${PREFIX}'
`;

/**
 * `call(command, key, list)`: a command with any number of arguments, in parts: Lua's stack holds some 8,000. A part ends
 * after an even number. Of commands whose answers count, `total` adds them up.
 */
export const MANY = `
local PART = 4000
local function call(command, key, list)
  if #list == 0 then return end
  if #list <= PART then return redis.call(command, key, unpack(list)) end
  for from = 1, #list, PART do
    redis.call(command, key, unpack(list, from, math.min(from + PART - 1, #list)))
  end
end
local function read(command, key, list)
  if #list == 0 then return {} end
  if #list <= PART then return redis.call(command, key, unpack(list)) end
  local all = {}
  for from = 1, #list, PART do
    for _, value in ipairs(redis.call(command, key, unpack(list, from, math.min(from + PART - 1, #list)))) do
      all[#all + 1] = value
    end
  end
  return all
end
`;

/** How many changes are kept for those who were away. */
export const KEPT_CHANGES = 10_000;
const KEPT_WAKES = 1_000;

/**
 * `changed(kind, name)`: in the same commit as the change itself, so that no notice is ever missing. Entries are numbered
 * without a gap: who finds one has missed something. Of functions the last one is kept, with the time: after a failover
 * that lost some, a number may come twice.
 */
export const CHANGED = `
local function changed(kind, name)
  local n = redis.call('INCR', P .. 'changes-made')
  redis.call('XADD', P .. 'changes', 'MAXLEN', '~', ${KEPT_CHANGES}, string.format('%.0f-0', n), kind, name)
  if kind == 'function' then
    redis.call('HSET', P .. 'revisions', name, string.format('%.0f', n) .. '@' .. table.concat(redis.call('TIME'), '.'))
  end
end
`;

/** The same for messages that are to be claimed. */
export const WOKEN = `
local function woken(queue)
  local n = redis.call('INCR', P .. 'wakes-made')
  redis.call('XADD', P .. 'wakes', 'MAXLEN', '~', ${KEPT_WAKES}, string.format('%.0f-0', n), 'messages', queue)
end
`;
