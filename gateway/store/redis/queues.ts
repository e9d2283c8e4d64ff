/** Queues: what the scripts are asked, and what their answers mean. */
import { HearthError } from '../../../functions/contract/errors.ts';
import {
  type ClaimedMessage,
  type DeadMessage,
  defaultQueueSettings,
  type QueueSettings,
  type QueueStore,
  type Settlement,
} from '../api/queues.ts';
import type { Arg, Reply } from './connection.ts';
import { packMessage, unpackMessage } from './message.ts';
import * as operator from './queue-operator-scripts.ts';
import * as scripts from './queue-scripts.ts';
import { asBytes, asList, asNumber, asText, asTexts, inTuples } from './reply.ts';
import type { Database } from './script.ts';

const DEDUP_MS = 24 * 60 * 60 * 1000;

/** Messages of one script, so that none takes more than a few milliseconds. */
const CLAIM_PART = 100;
const DEAD_PART = 100;
const REDRIVE_PART = 50;

export function queuesDomain(db: Database): QueueStore {
  const put = db.script('queues.put', operator.PUT);
  const remove = db.script('queues.delete', operator.DELETE);
  const enqueue = db.script('queues.enqueue', scripts.ENQUEUE);
  const publish = db.script('queues.publish', scripts.PUBLISH);
  const claim = db.script('queues.claim', scripts.CLAIM);
  const extend = db.script('queues.extend', scripts.EXTEND);
  const settle = db.script('queues.settle', scripts.SETTLE);
  const nextDue = db.script('queues.nextDue', scripts.NEXT_DUE);
  const stats = db.script('queues.stats', operator.STATS);
  const dead = db.script('queues.dead', operator.DEAD);
  const redrive = db.script('queues.redrive', operator.REDRIVE);
  const redriveAll = db.script('queues.redriveAll', operator.REDRIVE_ALL);
  const purge = db.script('queues.purge', operator.PURGE);

  const gravesOf = async (queue: string) => asTexts(await db.call('SMEMBERS', `graves:${queue}`));

  /** Each once, also those that die again meanwhile. */
  async function redriveEach(queue: string, place: string, nowMs: number): Promise<number> {
    let left = asNumber(await db.call('ZCARD', `from:${place}/${queue}`));
    let revived = 0;
    for (let behind = ''; left > 0; ) {
      const answer = asList(await redriveAll(queue, place, behind, Math.min(left, REDRIVE_PART), nowMs));
      const looked = asNumber(answer[1]);
      revived += asNumber(answer[0]);
      if (looked === 0) break;
      behind = asText(answer[2]);
      left -= looked;
    }
    return revived;
  }

  return {
    async put(name, settings) {
      await put(name, JSON.stringify(settings));
    },
    async get(name) {
      const settings = await db.call('HGET', 'queues', name);
      return settings === null ? null : settingsOf(name, asText(settings));
    },
    async list() {
      const pairs = inTuples(asList(await db.call('HGETALL', 'queues')), 2);
      return pairs
        .map(([key, settings]) => {
          const name = asText(key);
          return { name, settings: settingsOf(name, asText(settings)) };
        })
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    delete: async (name) => (await remove(name)) === 1,
    async enqueue(queue, messages, nowMs) {
      const given = messages.flatMap((message): Arg[] => [
        nowMs + Math.round(message.delayS * 1000),
        message.generatedId === true ? '' : message.id,
        packMessage(message, nowMs),
      ]);
      const duplicates = asList(await enqueue(queue, nowMs, nowMs - DEDUP_MS, ...given));
      const ids = messages.map(({ id }) => id);
      return { ids, duplicates: placesIn(ids, duplicates) };
    },
    async publish(queues, messages, nowMs) {
      if (queues.length === 0 || messages.length === 0) return;
      const given = messages.flatMap((message): Arg[] => [
        nowMs + Math.round(message.delayS * 1000),
        packMessage(message, nowMs),
      ]);
      await publish(nowMs, queues.length, ...queues, ...given);
    },
    async claim(queue, { most, nowMs, leaseUntil }) {
      const claimed: ClaimedMessage[] = [];
      while (claimed.length < most) {
        const asked = Math.min(most - claimed.length, CLAIM_PART);
        const found = inTuples(asList(await claim(queue, asked, nowMs, leaseUntil)), 4);
        for (const [fence, attempts, kills, packed] of found) {
          claimed.push({
            queue,
            ...unpackMessage(asBytes(packed)),
            attempts: asNumber(attempts),
            kills: asText(kills) === '' ? null : asNumber(kills),
            fence: asNumber(fence),
          });
        }
        if (found.length < asked) break;
      }
      return claimed;
    },
    async extend(queue, held, leaseUntil) {
      if (held.length === 0) return [];
      const given = held.flatMap(({ id, fence }) => [fence, id]);
      return placesIn(
        held.map(({ id }) => id),
        asList(await extend(queue, leaseUntil, ...given)),
      );
    },
    async settle(queue, settlements, nowMs) {
      if (settlements.length === 0) return { refused: [] };
      const refused = asList(await settle(queue, nowMs, ...settlements.flatMap((each) => settlementArgs(each, nowMs))));
      return {
        refused: placesIn(
          settlements.map(({ id }) => id),
          refused,
        ),
      };
    },
    async nextDue(queue) {
      const due = await nextDue(queue);
      return due === null ? null : asNumber(due);
    },
    async stats(queue, nowMs) {
      const [depth, delayed, inFlight, oldestAt, deadLetters] = asList(await stats(queue, nowMs));
      return {
        depth: asNumber(depth),
        delayed: asNumber(delayed),
        inFlight: asNumber(inFlight),
        oldestAt: oldestAt === null ? null : asNumber(oldestAt),
        dead: asNumber(deadLetters),
      };
    },
    async dead(queue, { most, cursor }) {
      const found: Reply[][] = [];
      // One more than asked for tells whether there are more.
      for (let behind = cursor === null ? '' : readCursor(cursor); found.length <= most; ) {
        const asked = Math.min(most + 1 - found.length, DEAD_PART);
        const part = asList(await dead(queue, behind, asked)).map((reply) => asList(reply));
        found.push(...part);
        if (part.length < asked) break;
        behind = asText(part.at(-1)?.[0]);
      }
      const page = found.slice(0, most);
      const last = page.at(-1);
      return {
        messages: page.map(deadMessage),
        cursor: found.length > page.length && last !== undefined ? cursorAt(asText(last[0])) : null,
      };
    },
    async redrive(queue, ids, nowMs) {
      let revived = 0;
      for (const place of await gravesOf(queue)) {
        if (ids === 'all') {
          revived += await redriveEach(queue, place, nowMs);
          continue;
        }
        const named = [...new Set(ids)];
        for (let at = 0; at < named.length; at += REDRIVE_PART) {
          revived += asNumber(await redrive(queue, place, nowMs, ...named.slice(at, at + REDRIVE_PART)));
        }
      }
      return revived;
    },
    purge: async (queue) => asNumber(await purge(queue)),
  };
}

/** A queue that was made by its first message has the defaults. */
function settingsOf(name: string, kept: string): QueueSettings {
  return kept === '' ? defaultQueueSettings(name) : (JSON.parse(kept) as QueueSettings);
}

function settlementArgs(settlement: Settlement, nowMs: number): Arg[] {
  const { verdict, fence, id } = settlement;
  switch (verdict) {
    case 'ack':
      return [verdict, fence, id];
    case 'retry':
      return [
        verdict,
        fence,
        id,
        settlement.dueAt,
        settlement.countAttempt ? 1 : 0,
        settlement.reason === null ? '' : failureOf(settlement.reason, nowMs),
        settlement.kills ?? '',
      ];
    case 'dead':
      return [verdict, fence, id, failureOf(settlement.reason, nowMs), JSON.stringify(settlement.reason)];
  }
}

function failureOf(reason: string, nowMs: number): string {
  return JSON.stringify({ at: nowMs, reason });
}

/** From death:number, letter, message. */
function deadMessage([, letter, packed]: Reply[]): DeadMessage {
  const { id, body, contentType, timestamp } = unpackMessage(asBytes(packed));
  const [source = '', diedAt, attempts, reason = '""', failures = ''] = asText(letter).split('\n');
  return {
    id,
    body,
    contentType,
    timestamp,
    attempts: Number(attempts),
    diedAt: Number(diedAt),
    source,
    reason: JSON.parse(reason) as string,
    failures: JSON.parse(`[${failures}]`) as DeadMessage['failures'],
  };
}

function placesIn(ids: string[], places: Reply[]): string[] {
  return places.map((place) => ids[asNumber(place)] ?? '');
}

/** Time of death and number, each with 16 digits, as in the set; and shorter for people. */
function cursorAt(member: string): string {
  return member.split(':').map(Number).join('.');
}

function readCursor(cursor: string): string {
  const parts = /^(\d{1,15})\.(\d{1,15})$/.exec(cursor);
  if (parts === null) throw new HearthError('BAD_REQUEST', 'The cursor is none that an earlier answer gave.');
  return parts
    .slice(1)
    .map((part) => part.padStart(16, '0'))
    .join(':');
}
